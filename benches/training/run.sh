#!/usr/bin/env bash
# Times training steps of OmniID and PyTorch in turns, after comparing loss and gradients of the two.
# usage: benches/training/run.sh [--help] [options of torch_step.py: --only NAME, --rounds N, --steps N]
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ ${1:-} == --help ]]; then
    sed -n '2,3s/^# //p' "$0"
    exit
fi
python=${OMNIID_PEERS_PYTHON:-python3}
if ! "$python" -c 'import torch, safetensors' 2>/dev/null; then
    echo "$python has no torch and safetensors: $python -m pip install torch safetensors, or set OMNIID_PEERS_PYTHON" >&2
    exit 1
fi
program=$(cargo build --release -p omniid-training --bench training --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\/training-[^"]*\)".*/\1/p' | tail -n 1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$program" --export "$folder"
"$python" benches/training/torch_step.py "$folder" --binary "$program" "$@"
