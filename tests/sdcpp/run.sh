#!/usr/bin/env bash
# OmniID in the real stable-diffusion.cpp. Its source comes with the package stable-diffusion-cpp-python (20 MB); the
# hook of examples/stable-diffusion.cpp is inserted, the library built, and programs that run its blocks compare what is
# added with the formula. The build is kept beside the other tools' caches; the first one takes some minutes.
#
#   tests/sdcpp/run.sh
#   OMNIID_SDCPP=DIR tests/sdcpp/run.sh     keeps source and build there
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
version=0.4.7
cache=${OMNIID_SDCPP:-${XDG_CACHE_HOME:-$HOME/.cache}/omniid-sdcpp}/$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ ! -d $cache/package ]]; then
  # pip builds a package's metadata before it hands out its source; the build system comes from the registry, too.
  if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary=stable-diffusion-cpp-python \
    --dest "$work/download" "stable-diffusion-cpp-python==$version" > "$work/log" 2>&1; then
    scripts/skipped installable "the hook in stable-diffusion.cpp" "the source of $version could not be downloaded" \
      "a connection to a Python package index"
    exit 0
  fi
  mkdir -p "$cache" "$work/source"
  tar -xzf "$work"/download/*.tar.gz -C "$work/source" --strip-components=1
  rm -rf "$cache/package.new"
  mv "$work/source/vendor/stable-diffusion.cpp" "$cache/package.new"
  mv "$cache/package.new" "$cache/package"
fi
# A fresh copy takes the hook of today; files that have not changed keep their time, and are not compiled again.
cp -r "$cache/package" "$work/sdcpp"
python3 examples/stable-diffusion.cpp/patch.py "$work/sdcpp" | sed 's/.*sdcpp\//   /'
python3 examples/stable-diffusion.cpp/patch.py "$work/sdcpp"
[[ $(grep -rl omniid_hook "$work/sdcpp/src" | wc -l) == 5 ]]
# A version without one of the places is refused, and left as it is.
cp -r "$cache/package/src" "$work/unknown-src"
mkdir "$work/unknown" && mv "$work/unknown-src" "$work/unknown/src"
sed -i 's/to_out_0->forward/to_out_1->forward/' "$work/unknown/src/common_block.hpp"
if python3 examples/stable-diffusion.cpp/patch.py "$work/unknown" 2> "$work/log"; then
  echo "patch.py has changed a version that it does not know" >&2
  exit 1
fi
grep -q "its output projection: found 0 times" "$work/log"
[[ -z $(grep -rl omniid "$work/unknown/src") ]]
mkdir -p "$cache/source"
(cd "$work/sdcpp" && find . -type f -print0) | while IFS= read -r -d '' file; do
  cmp -s "$work/sdcpp/$file" "$cache/source/$file" && continue
  mkdir -p "$(dirname "$cache/source/$file")"
  cp "$work/sdcpp/$file" "$cache/source/$file"
done

cargo build --quiet --release --workspace --lib --bins --examples
target=${CARGO_TARGET_DIR:-target}/release
[[ $target == /* ]] || target=$root/$target
# CMake refuses a build folder that was made for another checkout.
grep -qsx "CMAKE_HOME_DIRECTORY:INTERNAL=$root/tests/sdcpp" "$cache/build/CMakeCache.txt" || rm -rf "$cache/build"
cmake -S tests/sdcpp -B "$cache/build" -DSDCPP_SOURCE="$cache/source" -DOMNIID_ROOT="$root" \
  -DOMNIID_LIBRARY="$target/libomniid.so" -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG" \
  > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
cmake --build "$cache/build" --target hook callback --parallel "$(nproc)" > "$work/log" 2>&1 ||
  { tail -n 60 "$work/log"; exit 1; }

"$target/examples/untrained_model" "$work/model.safetensors"
photo=examples/photos/person-1/01.jpg
"$target/omniid" encode "$photo" -c "$work/model.safetensors" -o "$work/person.omniid" --quiet
"$target/omniid" convert gguf "$work/person.omniid" -c "$work/model.safetensors" -o "$work/person.gguf"
cp "$target/libomniid.so" "$work/libomniid.so.1"
export LD_LIBRARY_PATH=$work
"$cache/build/hook" "$work/model.safetensors" "$photo" "$work/person.gguf"
"$cache/build/callback" "$work/model.safetensors" "$photo"
echo "identities in stable-diffusion.cpp are the formula"
