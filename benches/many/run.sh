#!/usr/bin/env bash
# Encoding at scale: throughput of encode_many and Ray beside plain processes, memory over 20,000 photos, and workers
# that are killed in the middle of 2,000. README.md says how to read the tables; about a quarter of an hour on two
# idle cores.
#
#   benches/many/run.sh                        all three
#   benches/many/run.sh throughput --rounds 3  one, with options of measure.py
#   OMNIID_LIB=DIR benches/many/run.sh         takes libomniid.so from DIR; without it cargo builds it first
#   OMNIID_PEERS=VENV                          a virtual environment with NumPy, pyarrow and ray, as scripts/peers makes
#                                              it (default ~/.cache/omniid-peers)
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,/^set /{/^#/s/^# \?//p}' "$0"; exit ;; esac
cd "$(dirname "$0")/../.."
if [[ -z ${OMNIID_LIB:-} ]]; then
  # The profile and the selection of packages that the test suite is built with: nothing is compiled twice.
  cargo build --quiet --release --workspace --lib --examples
fi
OMNIID_LIB=$(realpath "${OMNIID_LIB:-${CARGO_TARGET_DIR:-target}/release}")
python=${OMNIID_PEERS:-$HOME/.cache/omniid-peers}/bin/python
[[ -x $python ]] || python=python3
if ! "$python" -c 'import numpy, pyarrow, ray' 2> /dev/null; then
  echo "$python has no numpy, pyarrow and ray: scripts/peers, or $python -m pip install numpy 'ray[data]'" >&2
  exit 1
fi
export OMNIID_LIBRARY=$OMNIID_LIB/libomniid.so PYTHONPATH=$PWD/bindings/python PYTHONDONTWRITEBYTECODE=1
if (($#)); then
  exec "$python" benches/many/measure.py "$@"
fi
for what in throughput memory killed; do
  "$python" benches/many/measure.py "$what"
  echo
done
