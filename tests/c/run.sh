#!/usr/bin/env bash
# Runs the C examples and tests under AddressSanitizer (with its leak check) and under valgrind.
#
#   tests/c/run.sh                  builds the library with cargo first
#   OMNIID_LIB=DIR tests/c/run.sh   takes libomniid.so and examples/untrained_{model,adapters} from DIR
#
# The Rust side is not instrumented: AddressSanitizer sees its allocations and every access of the C side.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ -z ${OMNIID_LIB:-} ]]; then
  # The profile and the selection of packages that the test suite was built with: nothing is compiled twice.
  cargo build --quiet --release --workspace --lib --examples
fi
lib=${OMNIID_LIB:-${CARGO_TARGET_DIR:-target}/release}
cp "$lib/libomniid.so" "$work/"
soname=$(readelf -d "$work/libomniid.so" | sed -n 's/.*soname: \[\(.*\)\]/\1/p')
ln -s libomniid.so "$work/$soname"
export LD_LIBRARY_PATH=$work
model=$work/model.safetensors
"$lib/examples/untrained_model" "$model"
"$lib/examples/untrained_adapters" "$work"
# A photo that needs no other tool: a binary-exact BMP of 16 x 16 grey pixels.
photo=$work/photo.bmp
{
  printf 'BM\066\003\000\000\000\000\000\000\066\000\000\000\050\000\000\000\020\000\000\000\020\000\000\000'
  printf '\001\000\030\000\000\000'
  printf '\000\000\000\003\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000'
  head -c 768 /dev/zero | tr '\0' '\177'
} > "$photo"
people=(examples/photos/person-1/01.jpg examples/photos/person-2/01.jpg)

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
  "$@" "$work/$kind-faces" "$work" "$work"
  "$@" "$work/$kind-graph" "$model" "$work"
  "$@" "$work/$kind-threads" "$model"
  "$@" "$work/$kind-changed" "$model" "$work"
  # Two people of the examples: with a face to be found, aligned and recognised.
  "$@" "$work/$kind-faceid" "$work/faceid.safetensors" "${people[@]}" "$work/$kind-lora.safetensors"
  test -s "$work/$kind-lora.safetensors"
  "$@" "$work/$kind-pulid_flux" "$work/residual.safetensors" "$photo"
}

# Runs a program that must end with this status.
ends_with() { # status, command...
  local expected=$1 status=0
  shift
  "$@" || status=$?
  [[ $status == "$expected" ]] || { echo "$*: status $status, expected $expected" >&2; exit 1; }
}

sources=(examples/c/identity.c examples/c/inject.c examples/c/faceid.c examples/c/pulid_flux.c tests/c/abi.c
  tests/c/faces.c tests/c/graph.c tests/c/threads.c tests/c/changed.c tests/c/leaks.c tests/c/exit.c)

echo "AddressSanitizer"
for source in "${sources[@]}"; do
  build "$source" "$work/asan-$(basename "$source" .c)" -fsanitize=address,undefined -fno-sanitize-recover=all
done
ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 run_all asan env
ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 "$work/asan-leaks" "$model" 1000
# With the face recogniser in a file of its own.
ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 "$work/asan-faceid" "$work/faceid-plus.safetensors" "${people[@]}" \
  "$work/lora.safetensors" "$work/faceid.safetensors"

echo "the examples' Makefile"
cp -r examples/c "$work/examples"
make --silent -C "$work/examples" "INCLUDE=$PWD/include" "LIB=$work" "CFLAGS=-std=c11 -O1 -Wall -Wextra -Werror"
for source in examples/c/*.c; do test -x "$work/examples/$(basename "$source" .c)"; done

echo "plain"
for source in "${sources[@]}"; do
  build "$source" "$work/plain-$(basename "$source" .c)"
done
"$work/plain-leaks" "$model" 1000
for kind in plain asan; do
  # In all kinds of calls; a few times, because the moment differs.
  for place in encode inject progress log; do
    for _ in 1 2 3; do ASAN_OPTIONS=detect_leaks=0 ends_with 7 "$work/$kind-exit" "$model" $place; done
  done
done

if command -v valgrind > /dev/null; then
  echo "valgrind"
  checker=(valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect \
    --errors-for-leak-kinds=definite,indirect
    --error-exitcode=99)
  run_all plain "${checker[@]}"
  # Its allocator does not count: it looks for lost memory itself.
  ends_with 3 "${checker[@]}" "$work/plain-leaks" "$model" 20
else
  scripts/skipped installable "the C tests under valgrind" "valgrind is not installed" "apt-get install valgrind"
fi
echo "all C programs ran clean"
