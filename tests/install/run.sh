#!/usr/bin/env bash
# Installs OmniID in both ways, moves the tree, builds consumers against it in every way and runs them; then every
# command of docs/hosts/c.md and cpp.md. Uses what cargo has built for the test suite: cargo compiles nothing here.
#
#   tests/install/run.sh
#
# OMNIID_GGML=0 skips the one group of commands that downloads something (ggml, 2.5 MB).
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "tests/install: $*" >&2; exit 1; }
step() { echo "-- $*"; }
quietly() { "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; fail "failed: $*"; }; }

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
[[ $CARGO_TARGET_DIR == /* ]] || CARGO_TARGET_DIR=$root/$CARGO_TARGET_DIR
target=$CARGO_TARGET_DIR/release
cargo build --quiet --release --workspace --lib --bins --examples
model=$work/model.safetensors
"$target/examples/untrained_model" "$model"
photos=("$root"/examples/photos/person-1/0[12].jpg)
# The library is looked for where the programs say, not in the environment.
unset LD_LIBRARY_PATH PKG_CONFIG_PATH

step "scripts/install and cmake --install make the same tree"
quietly scripts/install --prefix "$work/script" --from "$target"
quietly cmake -S . -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_LIBDIR=lib \
  "-DOMNIID_CARGO_SELECTION=--workspace;--examples"
quietly cmake --build "$work/build"
quietly cmake --install "$work/build" --prefix "$work/cmake"
diff -r "$work/script" "$work/cmake"

step "the moved tree tells of no folder it was made in"
moved="$work/moved to/some place"
mkdir -p "$(dirname "$moved")"
mv "$work/script" "$moved"
if grep -rlIF -e "$work" -e "$root" -e "$target" "$moved"; then fail "these files name a folder of the build"; fi
for file in include/omniid.h include/omniid.hpp include/omniid/engine.hpp lib/libomniid.a \
  share/doc/omniid/LICENSE-MIT; do
  [[ -s $moved/$file ]] || fail "$file is missing"
done
# Default weights and their card come along where the repository holds some.
for file in models/*; do
  [[ ! -f $file ]] || cmp "$file" "$moved/share/omniid/models/$(basename "$file")"
done

library=$moved/lib/libomniid.so
major=$(sed -n 's/^#define OMNIID_ABI_MAJOR //p' include/omniid.h)
[[ $(readelf -d "$library" | sed -n 's/.*soname: \[\(.*\)\]/\1/p') == libomniid.so.$major ]] || fail "wrong SONAME"
if readelf -d "$library" | grep -E 'RPATH|RUNPATH|TEXTREL'; then
  fail "the library has a run path or text relocations"
fi
grep -oE '\bomniid_[a-z_]+\(' include/omniid.h | tr -d '(' | sort -u > "$work/declared"

step "what is shipped is stripped, small, and finds its symbols"
# The library is 12.6 MB, of which 4.9 are weights; the program 60.3 MB, of which 42.8 are weights. The limits leave room
# for the compilers that make them and a few more kernels; debug information would be seven and three times as large.
small() { # file, megabytes
  (($(stat -c %s "$1") <= $2 * 1000000)) || fail "$1 has $(stat -c %s "$1") bytes, more than $2 MB"
}
finds_symbols() { # file, its symbols
  [[ $(readelf -SW "$1") != *.debug_line* ]] || fail "$1 has line tables"
  [[ $(readelf --string-dump=.gnu_debuglink "$1") == *"$(basename "$2")"* ]] || fail "$1 does not name its symbols"
  [[ $(readelf -SW "$2") == *.debug_line* ]] || fail "$2 has no line tables"
}
small "$library" 16
cp "$target/omniid" "$work/omniid"
scripts/split-symbols "$work/omniid" "$work/.debug/omniid.debug"
small "$work/omniid" 66
finds_symbols "$work/omniid" "$work/.debug/omniid.debug"
[[ $("$work/omniid" --version) == "omniid "* ]] || fail "the stripped program does not run"
quietly scripts/install --prefix "$work/symbols" --from "$target" --symbols --no-static
quietly cmake --install "$work/build" --prefix "$work/cmake-symbols" --component symbols
finds_symbols "$work/symbols/lib/libomniid.so" "$(echo "$work"/symbols/lib/.debug/*)"
cmp "$library" "$work/symbols/lib/libomniid.so"
diff -r "$work/symbols/lib/.debug" "$work/cmake-symbols/lib/.debug"
rm -rf "$work/omniid" "$work/.debug" "$work/symbols" "$work/cmake-symbols"

step "both libraries show the functions of the header and nothing else"
readelf --dyn-syms -W "$library" | \
  awk '$7 != "UND" && $5 != "LOCAL" && NR > 3 && NF >= 8 {sub("@.*", "", $8); print $8}' | sort > "$work/exported"
diff "$work/declared" "$work/exported"
readelf -sW "$moved/lib/libomniid.a" | awk '$7 != "UND" && ($5 == "GLOBAL" || $5 == "WEAK") {print $8}' |
  sort > "$work/visible"
diff "$work/declared" "$work/visible"

step "the system libraries are those that rustc asks for"
asked=$(echo 'extern crate omniid;' | rustc --crate-name probe --crate-type staticlib --print native-static-libs \
  --extern "omniid=$target/libomniid.rlib" -L "dependency=$target/deps" -o "$work/probe.a" - 2>&1 |
    sed -n 's/.*native-static-libs: //p')
rm -f "$work/probe.a"
stated=$(sed -n 's/^linux //p' cmake/native-libraries)
[[ -n $asked && $asked == "$stated" ]] || fail "rustc asks for '$asked', cmake/native-libraries has '$stated'"

run_inject() { "$1" "$model" "${photos[@]}" > "$work/out" || { cat "$work/out"; fail "$1 failed"; }; }

step "consumers by find_package: C and C++, shared and static"
quietly cmake -S tests/install/consumer -B "$work/consumer" -DCMAKE_PREFIX_PATH="$moved" -DEXAMPLES="$root/examples"
quietly cmake --build "$work/consumer"
for program in c_omniid c_omniid_static cpp_omniid cpp_omniid_static; do
  run_inject "$work/consumer/$program"
  linked=$(readelf -d "$work/consumer/$program" | grep -c 'NEEDED.*libomniid' || true)
  [[ $program == *static ]] && expected=0 || expected=1
  [[ $linked == "$expected" ]] || fail "$program: linked with the shared library $linked times, not $expected"
done
readelf -d "$work/consumer/c_omniid" | grep -q "NEEDED.*\[libomniid.so.$major\]" ||
  fail "the program does not ask for the SONAME"

step "find_package refuses what does not fit"
mkdir "$work/request"
request() { # find_package's arguments
  printf 'cmake_minimum_required(VERSION 3.20)\nproject(request LANGUAGES NONE)\n%s\nfind_package(%s)\n' "${before:-}" \
    "$*" > "$work/request/CMakeLists.txt"
  rm -rf "$work/request/build"
  cmake -S "$work/request" -B "$work/request/build" -DCMAKE_PREFIX_PATH="${tree:-$moved}" > "$work/log" 2>&1
}
accepted() { request "$@" || { cat "$work/log"; fail "refused: $*"; }; }
refused() { # what the message says, arguments
  local says=$1
  shift
  if request "$@"; then fail "accepted: $*"; fi
  tr -s ' \n' ' ' < "$work/log" | grep -qF "$says" || { cat "$work/log"; fail "refused for another reason: $*"; }
}
for version in '' 0 0.2 0.2.0 '0.2.0 EXACT' 0.2...0.9 0.2.0...1; do accepted OmniID $version CONFIG REQUIRED; done
for version in 0.1 0.1.9 0.2.1 0.3 1 99 '0.2.1 EXACT' 0.1...0.9 0.3...0.9 0.1.1...0.1.9 '0.1.1...<0.2.0'; do
  refused 'requested version' OmniID $version CONFIG REQUIRED
done
accepted OmniID CONFIG REQUIRED COMPONENTS CPU shared static
refused 'lacks CUDA; it has: CPU;shared;static' OmniID CONFIG REQUIRED COMPONENTS CUDA
before='set(CMAKE_SIZEOF_VOID_P 4)' refused '(64 bit)' OmniID 0.2 CONFIG REQUIRED
cp -a "$moved" "$work/broken"
rm "$work/broken/lib/libomniid.so.$(sed -n 's/^#define OMNIID_VERSION "\(.*\)"/\1/p' include/omniid.h)"
tree=$work/broken refused 'is missing: the tree is not complete' OmniID CONFIG REQUIRED
rm -rf "$work/broken"

step "other folders inside the prefix, parts left out, DESTDIR"
quietly env DESTDIR="$work/stage" scripts/install --prefix /usr --libdir lib/some-triple --includedir include/omniid-1 \
  --no-static --from "$target"
triple='set(CMAKE_LIBRARY_ARCHITECTURE some-triple)'
before=$triple tree=$work/stage/usr accepted OmniID 0.2 CONFIG REQUIRED COMPONENTS shared
before=$triple tree=$work/stage/usr refused 'lacks static' OmniID 0.2 CONFIG REQUIRED COMPONENTS static
export PKG_CONFIG_PATH=$work/stage/usr/lib/some-triple/pkgconfig
quietly cc -std=c11 examples/c/inject.c $(pkg-config --cflags --libs omniid) \
  -Wl,-rpath,"$(pkg-config --variable=libdir omniid)" -lm -o "$work/elsewhere"
run_inject "$work/elsewhere"
if pkg-config --exists omniid-static; then fail "omniid-static.pc without a static library"; fi
pkg-config --exists 'omniid >= 0.2' || fail "pkg-config refuses omniid >= 0.2"
if pkg-config --exists 'omniid >= 0.3'; then fail "pkg-config accepts omniid >= 0.3"; fi
unset PKG_CONFIG_PATH

step "add_subdirectory and FetchContent, through cargo"
for fetch in OFF ON; do
  quietly cmake -S tests/install/subproject -B "$work/sub-$fetch" -DCMAKE_BUILD_TYPE=Release -DOMNIID_SOURCE="$root" \
    -DFETCH=$fetch \
    -DOMNIID_CARGO_OFFLINE=ON "-DOMNIID_CARGO_SELECTION=--workspace;--examples"
  quietly cmake --build "$work/sub-$fetch"
  run_inject "$work/sub-$fetch/c_shared"
  run_inject "$work/sub-$fetch/cpp_static"
  # A project that contains OmniID does not install it without being asked.
  quietly cmake --install "$work/sub-$fetch" --prefix "$work/sub-install"
  if [[ -e $work/sub-install/lib ]]; then fail "the subproject installed OmniID"; fi
  # A second build compiles and copies nothing.
  stamp=$(stat -c %Y "$work/sub-$fetch"/cpp_static)
  sleep 1
  quietly cmake --build "$work/sub-$fetch"
  [[ $(stat -c %Y "$work/sub-$fetch"/cpp_static) == "$stamp" ]] || fail "a second build linked the programs again"
done

step "another Rust library in the same process, shared and static"
neighbours=tests/install/neighbours
quietly rustc -O --crate-type cdylib "$neighbours/neighbour.rs" -o "$work/libneighbour.so"
quietly rustc -O --crate-type staticlib "$neighbours/neighbour.rs" -o "$work/libneighbour.a"
# Functions of the dependencies' own names that end the process when somebody calls them: all internal names of
# candle and rayon in cargo's library that C can spell. Not of Rust's standard library: the neighbour needs its own.
nm -g --defined-only "$target/libomniid.a" 2> /dev/null |
  awk '$2 == "T" && $3 ~ /candle|rayon/ && $3 ~ /^[A-Za-z0-9_]+$/ {print $3}' |
  sort -u | awk '{print "void " $1 "(void) { __builtin_trap(); }"}' > "$work/impostors.c"
[[ $(wc -l < "$work/impostors.c") -ge 100 ]] || fail "too few internal names were found in cargo's library"
system=$(sed -n 's/^linux //p' cmake/native-libraries)
live_together() { # folder of the neighbour's libraries
  local other own
  for other in "$1/libneighbour.so" "$1/libneighbour.a"; do
    for own in "$library" "$moved/lib/libomniid.a"; do
      # -rdynamic lets a shared library see the impostors.
      quietly cc -std=c11 -w -rdynamic -Iinclude "$neighbours/main.c" "$work/impostors.c" "$own" "$other" $system \
        -Wl,-rpath,"$moved/lib" -Wl,-rpath,"$1" -o "$work/neighbours"
      quietly "$work/neighbours" "$model"
    done
  done
}
live_together "$work"

step "a library with another version of candle in the same process"
candle=$neighbours/candle/Cargo.toml
versions() { sed -n '/^name = "candle-core"$/{n;p}' "$1"; }
[[ $(versions Cargo.lock) != "$(versions "$neighbours/candle/Cargo.lock")" ]] ||
  fail "the neighbour has OmniID's version of candle"
if cargo fetch --quiet --locked --manifest-path "$candle" > "$work/log" 2>&1; then
  quietly cargo build --quiet --release --locked --offline --manifest-path "$candle" \
    --target-dir "$CARGO_TARGET_DIR/neighbour"
  : > "$work/impostors.c" # they would be called by this neighbour's candle
  live_together "$CARGO_TARGET_DIR/neighbour/release"
else
  scripts/skipped installable "a neighbour with another version of candle" "candle 0.9 could not be fetched" \
    "a connection to the crate registry"
fi

step "the code of docs/hosts/c.md and cpp.md compiles"
tests/pages/translation_unit docs/hosts/c.md c > "$work/page.c"
cc -std=c11 -Wall -Wextra -Werror -fsyntax-only -Iinclude "$work/page.c"
tests/pages/translation_unit docs/hosts/cpp.md cpp > "$work/page.cpp"
c++ -std=c++17 -Wall -Wextra -Wno-unused-variable -Wno-unused-but-set-variable -Werror -fsyntax-only -Iinclude \
  "$work/page.cpp"

step "every command of docs/hosts/c.md and cpp.md"
# A home of its own for what the commands write; cargo's and rustup's folders stay.
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
commands() { # the fenced sh blocks of a page; with `core`, without those that need a download
  awk -v core="${2:-}" '/^<!-- needs: /{skip = core != ""} /^```sh$/{on = !skip; skip = 0; next} /^```/{on = 0} on' "$1"
}
ggml=${OMNIID_GGML:-1}
if [[ $ggml == 1 ]] && ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work/probe" \
  libggml-python==0.20.2.post1 --only-binary=:all: --implementation cp --abi cp311 --python-version 3.11 \
  --platform manylinux_2_28_x86_64 > "$work/log" 2>&1; then
  scripts/skipped installable "the ggml example" "the package of ggml could not be downloaded" \
    "a connection to a Python package index"
  ggml=0
fi
for page in c cpp; do
  choice=''
  [[ $ggml == 1 ]] || choice=core
  commands docs/hosts/$page.md $choice > "$work/$page.sh"
  [[ $(grep -c . "$work/$page.sh") -ge 8 ]] || fail "docs/hosts/$page.md: its commands were not found"
  mkdir "$work/home-$page"
  HOME=$work/home-$page bash -euo pipefail "$work/$page.sh" > "$work/log" 2>&1 ||
    { cat "$work/log"; fail "a command of docs/hosts/$page.md failed"; }
  grep -E '^(ggml|[0-9]+ (steps|photos))' "$work/log" | sed 's/^/   /'
done
echo "the installed tree serves C, C++, CMake and pkg-config"
