#!/usr/bin/env bash
# The same photos, weights and queries through Rust, C, C++, Python and C#: tokens and injected output are the same to
# the bit. The Rust program is linked with the Rust library; the others use the C ABI of the shared one.
#
#   tests/same_results/run.sh                  builds the library and the Rust program with cargo first
#   OMNIID_LIB=DIR tests/same_results/run.sh   takes libomniid.so and examples/{untrained_model,same_results} from DIR
#   PYTHON=python3.12                          another interpreter; NumPy is installed for it if it has none
#
# Without Mono C# is left out, which is said.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "tests/same_results: $*" >&2; exit 1; }

if [[ -z ${OMNIID_LIB:-} ]]; then
  # The profile and the selection of packages that the test suite was built with: nothing is compiled twice.
  cargo build --quiet --release --workspace --lib --examples
fi
lib=$(realpath "${OMNIID_LIB:-${CARGO_TARGET_DIR:-target}/release}")
cp "$lib/libomniid.so" "$work/"
ln -s libomniid.so "$work/$(readelf -d "$work/libomniid.so" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')"
export LD_LIBRARY_PATH=$work
model=$work/model.safetensors
"$lib/examples/untrained_model" "$model"
photos=("$PWD"/examples/photos/person-1/0[1-3].jpg)
sources=tests/same_results
mkdir "$work"/{c,rust,cpp,python,csharp}

"${CC:-cc}" -std=c11 -O1 -Wall -Wextra -Werror -Iinclude "$sources/results.c" -o "$work/results-c" -L"$work" -lomniid
"$work/results-c" "$model" "$work/c" "${photos[@]}"
[[ -s $work/c/tokens.bin && -s $work/c/after-1.bin ]] || fail "C has written nothing"
for layer in 0 1; do
  if cmp -s "$work/c/before-$layer.bin" "$work/c/after-$layer.bin"; then
    fail "the injection into layer $layer changes nothing"
  fi
done

languages=(rust cpp python)
"$lib/examples/same_results" "$model" "$work/c" "$work/rust" "${photos[@]}"

"${CXX:-c++}" -std=c++17 -O1 -Wall -Wextra -Werror -Iinclude "$sources/results.cpp" -o "$work/results-cpp" -L"$work" \
  -lomniid
"$work/results-cpp" "$model" "$work/c" "$work/cpp" "${photos[@]}"

python=${PYTHON:-python3}
if ! "$python" -c 'import numpy' 2> /dev/null; then
  "$python" -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy
  python=$work/venv/bin/python
fi
OMNIID_LIBRARY=$work/libomniid.so PYTHONPATH=bindings/python PYTHONDONTWRITEBYTECODE=1 \
  "$python" "$sources/results.py" "$model" "$work/c" "$work/python" "${photos[@]}"

if command -v mono > /dev/null && command -v mcs > /dev/null; then
  bindings/csharp/mcs -nologo -unsafe -warn:4 -warnaserror -nowarn:1591 -optimize+ -out:"$work/Results.exe" \
    bindings/csharp/src/*.cs bindings/csharp/src/Native/*.cs "$sources/Results.cs"
  mono "$work/Results.exe" "$model" "$work/c" "$work/csharp" "${photos[@]}"
  languages+=(csharp)
else
  scripts/skipped installable "the same results in C#" "Mono is not installed" \
    "apt-get install mono-mcs mono-runtime libmono-system-core4.0-cil"
fi

for language in "${languages[@]}"; do
  for file in tokens after-0 after-1; do
    cmp "$work/c/$file.bin" "$work/$language/$file.bin" || fail "$language: $file is not that of C to the bit"
  done
done
bytes=$(stat -c %s "$work/c/tokens.bin")
echo "C, ${languages[*]}: the same tokens ($bytes bytes) and the same injected output in 2 layers, to the bit"
