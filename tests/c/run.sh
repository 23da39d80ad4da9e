#!/usr/bin/env bash
# Runs the C examples and tests under AddressSanitizer (with its leak check) and under valgrind.
#
#   tests/c/run.sh            builds the library with cargo first
#   OMNIID_LIB=DIR tests/c/run.sh   takes libomniid.so from DIR
#
# The Rust side is not instrumented: AddressSanitizer sees its allocations and every access of the C side.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The profile and the selection of packages that the test suite was built with: nothing is compiled twice.
target=${CARGO_TARGET_DIR:-target}/release
cargo build --quiet --release --workspace --lib --examples
lib=${OMNIID_LIB:-$target}
cp "$lib/libomniid.so" "$work/"
soname=$(readelf -d "$work/libomniid.so" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')
ln -s libomniid.so "$work/$soname"
export LD_LIBRARY_PATH=$work
model=$work/model.safetensors
"$target/examples/untrained_model" "$model"
# A photo that needs no other tool: a binary-exact BMP of 16 x 16 grey pixels.
photo=$work/photo.bmp
{
  printf 'BM\066\003\000\000\000\000\000\000\066\000\000\000\050\000\000\000\020\000\000\000\020\000\000\000'
  printf '\001\000\030\000\000\000\000\000\000\003\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000'
  head -c 768 /dev/zero | tr '\0' '\177'
} > "$photo"

build() { # source, program, further flags
  local source=$1 program=$2
  shift 2
  "${CC:-cc}" -std=c11 -O1 -g -Wall -Wextra -Wpedantic -Werror -Iinclude -Itests/c "$@" "$source" -o "$program" \
    -L"$work" -lomniid -lm -lpthread
}

run_all() { # runner..., programs from $work/$kind
  local kind=$1
  shift
  "$@" "$work/$kind-identity" "$model" "$work/$kind.omniid" "$photo" "$photo"
  test -s "$work/$kind.omniid"
  "$@" "$work/$kind-inject" "$model"
  "$@" "$work/$kind-inject" "$model" "$photo"
  "$@" "$work/$kind-abi" "$model" "$work"
  "$@" "$work/$kind-threads" "$model"
}

sources=(examples/c/identity.c examples/c/inject.c tests/c/abi.c tests/c/threads.c)

echo "AddressSanitizer"
for source in "${sources[@]}"; do
  build "$source" "$work/asan-$(basename "$source" .c)" -fsanitize=address,undefined -fno-sanitize-recover=all
done
ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 run_all asan env

if command -v valgrind > /dev/null; then
  echo "valgrind"
  for source in "${sources[@]}"; do
    build "$source" "$work/plain-$(basename "$source" .c)"
  done
  run_all plain valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect \
    --errors-for-leak-kinds=definite,indirect --error-exitcode=99
else
  echo "valgrind is not installed: skipped"
fi
echo "all C programs ran clean"
