#!/usr/bin/env bash
# Writes the parity fixtures anew, with a fresh seed, into a temporary folder and runs the parity tests on them.
#
#   PYTHON=path/to/python tests/parity/run.sh [--seed N] [sizes, see generate.py --help]
#
# Needs Python with the packages of tests/parity/README.md.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
seed=$((RANDOM * 32768 + RANDOM))
# A --seed among the arguments comes later and wins.
"${PYTHON:-python3}" "$root/tests/parity/generate.py" --seed "$seed" --out "$folder" "$@"
cd "$root"
tests=()
for file in tests/parity_*.rs minihost/tests/parity_*.rs; do
    tests+=(--test "$(basename "$file" .rs)")
done
OMNIID_PARITY_FIXTURES="$folder" cargo test --release --workspace "${tests[@]}" -- --nocapture
