#!/usr/bin/env bash
# What a call costs over the same call in C: C++, C#, Python, and the hook of a ComfyUI layer. About two minutes on a
# quiet machine; docs/hosts/overhead.md says how to read the lines.
#
#   benches/hosts/run.sh                  builds the library with cargo first
#   OMNIID_LIB=DIR benches/hosts/run.sh   takes libomniid.so and examples/untrained_model from DIR
#   OMNIID_PEERS=VENV                     a virtual environment with NumPy and torch (default ~/.cache/omniid-peers)
#   OMNIID_DOTNET=FOLDER                  measures C# on that .NET runtime, too
#
# Fails at the end when a binding that says what it may cost costs more: a busy machine can make it so.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -z ${OMNIID_LIB:-} ]]; then
  # The profile and the selection of packages that the test suite is built with: nothing is compiled twice.
  cargo build --quiet --release --workspace --lib --examples
fi
OMNIID_LIB=$(realpath "${OMNIID_LIB:-${CARGO_TARGET_DIR:-target}/release}")
export OMNIID_LIB
cp "$OMNIID_LIB/libomniid.so" "$work/"
ln -s libomniid.so "$work/$(readelf -d "$work/libomniid.so" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')"
"$OMNIID_LIB/examples/untrained_model" "$work/model.safetensors"
failed=()
measure() { # name, command...
  echo "== $1"
  "${@:2}" || failed+=("$1")
}

"${CXX:-c++}" -std=c++17 -O2 -Iinclude tests/cpp/overhead.cpp -o "$work/overhead" -L"$work" -lomniid
measure C++ env LD_LIBRARY_PATH="$work" "$work/overhead" "$work/model.safetensors"

if command -v mono > /dev/null && command -v mcs > /dev/null; then
  measure C# bindings/csharp/benchmark/run
else
  echo "SKIPPED: C#, because Mono is not installed"
fi

python=${OMNIID_PEERS:-$HOME/.cache/omniid-peers}/bin/python
[[ -x $python ]] || python=python3
export OMNIID_LIBRARY=$work/libomniid.so PYTHONPATH=bindings/python PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
if "$python" -c 'import numpy' 2> /dev/null; then
  measure Python "$python" bindings/python/benches/overhead.py
else
  echo "SKIPPED: Python, because $python has no NumPy"
fi
if "$python" -c 'import torch' 2> /dev/null; then
  measure ComfyUI "$python" bindings/comfyui/benches/hook_overhead.py
else
  echo "SKIPPED: ComfyUI, because $python has no torch"
fi
if ((${#failed[@]})); then
  echo "over the bound, or failed: ${failed[*]}" >&2
  exit 1
fi
