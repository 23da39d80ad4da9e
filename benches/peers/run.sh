#!/usr/bin/env bash
# Builds the benchmark contender of OmniID and runs the comparison. See README.md in this folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --workspace --example contender
exec "${OMNIID_PEERS_PYTHON:-python3}" benches/peers/compare.py "$@"
