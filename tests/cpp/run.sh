#!/usr/bin/env bash
# The C++ wrapper: every part compiles alone, in every language version, with and without exceptions, without a warning;
# then its tests, under AddressSanitizer with its leak check, and what it costs over C.
#
#   tests/cpp/run.sh                  builds the library with cargo first
#   OMNIID_LIB=DIR tests/cpp/run.sh   takes libomniid.so and examples/untrained_{model,adapters} from DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ -z ${OMNIID_LIB:-} ]]; then
  # The profile and the selection of packages that the test suite was built with: nothing is compiled twice.
  cargo build --quiet --release --workspace --lib --examples
fi
lib=${OMNIID_LIB:-${CARGO_TARGET_DIR:-target}/release}
cp "$lib/libomniid.so" "$work/libomniid.so.1"
ln -s libomniid.so.1 "$work/libomniid.so"
export LD_LIBRARY_PATH=$work
"$lib/examples/untrained_model" "$work/model.safetensors"
"$lib/examples/untrained_adapters" "$work"

warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast -Wnon-virtual-dtor -Werror \
  -Iinclude)
compilers=("${CXX:-c++}")
if [[ -n ${CXX:-} ]]; then
  : # The caller has chosen.
elif command -v clang++ > /dev/null; then
  compilers+=(clang++)
else
  scripts/skipped installable "the C++ header with clang" "clang++ is not installed" "apt-get install clang"
fi
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
  "${CXX:-c++}" -std=c++17 -fno-exceptions "${warnings[@]}" "${sanitize[@]}" -c tests/cpp/results.cpp \
    -o "$work/results.o"
  "${CXX:-c++}" -std=$standard "${warnings[@]}" "${sanitize[@]}" tests/cpp/wrapper.cpp "$work/results.o" \
    -o "$work/wrapper" \
    -L"$work" -lomniid -lpthread
  (cd "$work" && ASAN_OPTIONS=detect_leaks=1 ./wrapper model.safetensors "$work")
  "${CXX:-c++}" -std=$standard "${warnings[@]}" "${sanitize[@]}" tests/cpp/faces.cpp -o "$work/faces" -L"$work" -lomniid
  (cd "$work" && ASAN_OPTIONS=detect_leaks=1 ./faces "$work" "$work")
done
for kind in plain asan; do
  flags=(-O2)
  [[ $kind == plain ]] || flags=("${sanitize[@]}")
  "${CXX:-c++}" -std=c++17 "${warnings[@]}" "${flags[@]}" tests/cpp/exit.cpp -o "$work/$kind-exit" -L"$work" -lomniid \
    -lpthread
  for place in encode inject log; do
    for _ in 1 2 3; do
      status=0
      (cd "$work" && ASAN_OPTIONS=detect_leaks=0 "./$kind-exit" model.safetensors $place) || status=$?
      [[ $status == 7 ]] || { echo "a program that ends during $place: status $status, expected 7" >&2; exit 1; }
    done
  done
done
echo "programs end during calls"
"${CXX:-c++}" -std=c++17 -O2 "${warnings[@]}" tests/cpp/overhead.cpp -o "$work/overhead" -L"$work" -lomniid
"$work/overhead" "$work/model.safetensors"
