#!/usr/bin/env bash
# The examples of graphs: the built-in generator, written as ONNX, run by ONNX Runtime from C and C#, with the identity
# filled in by OmniID. The pictures are those of `omniid generate`, to one level of 255.
#
#   tests/onnx/run.sh                  builds the library with cargo first
#   OMNIID_LIB=DIR tests/onnx/run.sh   takes libomniid.so and omniid from DIR
#   OMNIID_ONNXRUNTIME=FILE            ONNX Runtime's shared library, such as that of the package onnxruntime-node on
#                                      npm; by default that of the Python package
#   OMNIID_PYTHON=PROGRAM              a Python with what examples/onnx/export.py needs, and Pillow
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${OMNIID_PYTHON:-python3}
if ! "$python" -c 'import torch, diffusers, onnx, safetensors, onnxruntime, PIL' 2> /dev/null; then
  scripts/skipped installable "the generator as a graph" "PyTorch, diffusers, onnx or onnxruntime is not installed" \
    "pip install torch diffusers onnx onnxruntime pillow, OMNIID_PYTHON"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -z ${OMNIID_LIB:-} ]]; then
  # The profile and the selection of packages that the test suite was built with: nothing is compiled twice.
  cargo build --quiet --release --workspace --lib --bins --examples
fi
lib=$(realpath "${OMNIID_LIB:-${CARGO_TARGET_DIR:-target}/release}")
cp "$lib/libomniid.so" "$work/"
ln -s libomniid.so "$work/$(readelf -d "$work/libomniid.so" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')"
runtime=${OMNIID_ONNXRUNTIME:-$("$python" -c 'import onnxruntime, pathlib
print(next(iter(pathlib.Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*")), ""))')}
if [[ -z $runtime ]]; then
  scripts/skipped installable "the generator as a graph" "there is no shared library of ONNX Runtime" \
    "npm pack onnxruntime-node, OMNIID_ONNXRUNTIME"
  exit 0
fi
# Under the name by which programs that are linked with it look for it.
cp "$runtime" "$work/$(readelf -d "$runtime" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')"
export LD_LIBRARY_PATH=$work
export OMNIID_LIBRARY=$work/libomniid.so PYTHONPATH=bindings/python

"$python" examples/onnx/export.py "$work/generator" > /dev/null
photos=(examples/photos/person-1/*.jpg)
"$lib/omniid" generate --quiet "${photos[@]}" -o "$work/expected.png" --separate "$work/expected" > /dev/null 2>&1

"${CC:-cc}" -std=c11 -O1 -Wall -Wextra -Wpedantic -Werror -Iinclude examples/onnx/generate.c -o "$work/generate" \
  "$work/libomniid.so" "$work"/libonnxruntime.so* -lm
"$work/generate" "$work/generator" "$work/c.png" "${photos[@]}"
"$python" tests/onnx/compare.py "$work/c.png" "$work/expected"

if ! command -v mono > /dev/null || ! command -v mcs > /dev/null; then
  scripts/skipped installable "the generator as a graph, from C#" "Mono is not installed" \
    "apt-get install mono-mcs mono-runtime libmono-system-core4.0-cil"
  exit 0
fi
# By the name that the declaration of a C# program leads to.
for name in "$work"/libonnxruntime.so?*; do ln -s "$(basename "$name")" "$work/libonnxruntime.so"; done
flags=(-nologo -warn:4 -warnaserror -optimize+)
bindings/csharp/mcs "${flags[@]}" -unsafe -target:library -out:"$work/OmniID.dll" bindings/csharp/src/*.cs \
  bindings/csharp/src/Native/*.cs
bindings/csharp/mcs "${flags[@]}" -r:"$work/OmniID.dll" -out:"$work/Generate.exe" examples/onnx/Generate.cs
mono "$work/Generate.exe" "$work/generator" "$work/csharp.bmp" "${photos[@]}"
"$python" tests/onnx/compare.py "$work/csharp.bmp" "$work/expected"
