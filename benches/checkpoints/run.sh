#!/usr/bin/env bash
# Runs the command lines of docs/checkpoints.md and measures the models on it, with random weights; see README.md.
#
#   benches/checkpoints/run.sh commands          every command line of the page
#   benches/checkpoints/run.sh table [NAME]      time and memory of each model, or of those with NAME in their name
#   OMNIID_LIB=DIR ...                           takes libomniid.so and omniid from DIR; else cargo builds them
#   OMNIID_PEERS=VENV                            an environment as scripts/peers makes it (default ~/.cache/omniid-peers)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
if [[ -z ${OMNIID_LIB:-} ]]; then
  (cd "$root" && cargo build --quiet --release --workspace --lib --bins)
fi
OMNIID_LIB=$(realpath "${OMNIID_LIB:-${CARGO_TARGET_DIR:-$root/target}/release}")
export OMNIID_LIBRARY="$OMNIID_LIB/libomniid.so"
export PYTHONPATH="$root/bindings/python:$root/benches/checkpoints"
exec "${OMNIID_PEERS:-$HOME/.cache/omniid-peers}/bin/python" "$root/benches/checkpoints/measure.py" "$@" \
  --program "$OMNIID_LIB/omniid"
