#!/usr/bin/env bash
# The C++ wrapper: every part compiles alone, in every language version, with and without exceptions, without a warning;
# then its tests, under AddressSanitizer with its leak check, and what it costs over C.
#
#   tests/cpp/run.sh            builds the library with cargo first
#   OMNIID_LIB=DIR tests/cpp/run.sh   takes libomniid.so from DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The profile and the selection of packages that the test suite was built with: nothing is compiled twice.
target=${CARGO_TARGET_DIR:-target}/release
cargo build --quiet --release --workspace --lib --examples
cp "${OMNIID_LIB:-$target}/libomniid.so" "$work/libomniid.so.0"
ln -s libomniid.so.0 "$work/libomniid.so"
export LD_LIBRARY_PATH=$work
"$target/examples/untrained_model" "$work/model.safetensors"

warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast -Wnon-virtual-dtor -Werror -Iinclude)
compilers=("${CXX:-c++}")
if [[ -z ${CXX:-} ]] && command -v clang++ > /dev/null; then compilers+=(clang++); fi
# Each part alone, once; the whole in every combination.
for header in include/omniid/*.hpp; do
  "${compilers[0]}" -std=c++17 "${warnings[@]}" -fsyntax-only -x c++ - <<< "#include \"${header#include/}\""
done
for compiler in "${compilers[@]}"; do
  for standard in c++17 c++20 c++2b; do
    for exceptions in -fexceptions -fno-exceptions; do
      printf '#include <omniid.hpp>\n#include <omniid.hpp>\nint main() { return 0; }\n' |
        "$compiler" -std=$standard $exceptions "${warnings[@]}" -fsyntax-only -x c++ -
    done
  done
  echo "$("$compiler" --version | head -n 1): the header compiles as C++17, 20 and 23 without a warning"
done

# Old-style casts stand in the C header's macros.
warnings+=(-Wno-old-style-cast)
sanitize=(-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all)
for standard in c++17 c++20; do
  # One file without exceptions and one with them, in different language versions, in one program.
  "${CXX:-c++}" -std=c++17 -fno-exceptions "${warnings[@]}" "${sanitize[@]}" -c tests/cpp/results.cpp -o "$work/results.o"
  "${CXX:-c++}" -std=$standard "${warnings[@]}" "${sanitize[@]}" tests/cpp/wrapper.cpp "$work/results.o" -o "$work/wrapper" \
    -L"$work" -lomniid -lpthread
  (cd "$work" && ASAN_OPTIONS=detect_leaks=1 ./wrapper model.safetensors "$work")
done
"${CXX:-c++}" -std=c++17 -O2 "${warnings[@]}" tests/cpp/overhead.cpp -o "$work/overhead" -L"$work" -lomniid
"$work/overhead" "$work/model.safetensors"
