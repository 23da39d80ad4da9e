#!/usr/bin/env python3
"""What a call from Python costs over the same call from C, in the same run, rounds alternating; the best round of each,
because other programs only ever add.

    python bindings/python/benches/overhead.py [--rounds 40]

Needs the installed package, a C compiler, and for the torch line PyTorch. Ends with status 1 when `inject` costs more
than 20 µs or `encode` more than 5 % over C: a busy machine can make it so.
"""

import argparse
import ctypes
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path.insert(0, str(HERE.parent / "tests"))

import native_model  # noqa: E402
import omniid  # noqa: E402
from omniid._library import lib  # noqa: E402

PHOTOS = 32
CALLS = {"inject": 20, "encode": 1, "photo": 1}
"""Of one series: so few that some series are left undisturbed by other programs."""
SERIES = {"inject": 25, "encode": 1, "photo": 10}
"""Of one round. `photo` is compared with the bare C function called in this process, so that both have the same
caches."""


def c_program(folder):
    library = omniid.library_path()
    for name in ("libomniid.so", f"libomniid.so.{omniid._abi.OMNIID_ABI_MAJOR}"):
        (folder / name).symlink_to(library)
    command = ["cc", "-std=c11", "-O2", f"-I{ROOT / 'include'}", str(HERE / "overhead.c"), "-o", "overhead"]
    subprocess.run([*command, f"-L{folder}", "-lomniid", f"-Wl,-rpath,{folder}"], cwd=folder, check=True)
    return folder / "overhead"


def series(call, count):
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count * 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        return measure(Path(temporary), options.rounds)


def measure(folder, rounds):
    # Large enough that encoding takes as long as the smallest real models, small enough to be written in a moment.
    model = native_model.write(folder / "model.safetensors", width=256, layers=12)
    c = subprocess.Popen([c_program(folder), model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    c.stdout.readline()

    def in_c(what, count):
        c.stdin.write(f"{what} {count}\n")
        c.stdin.flush()
        return float(c.stdout.readline())

    engine = omniid.Engine.open(model)
    index = np.arange(256 * 256 * 3)
    photos = [(index * (i + 1) // 7 % 256).astype(np.uint8).reshape(256, 256, 3) for i in range(PHOTOS)]
    conditioning = engine.condition(engine.encode(photos).identity)

    def bare(photo=np.ascontiguousarray(photos[0])):
        native = omniid._abi.omniid_photo.new()
        native.pixels, native.width, native.height = photo.ctypes.data, 256, 256
        out = ctypes.POINTER(omniid._abi.omniid_identity)()
        omniid._library.check(
            lib.omniid_encode(engine._handle.pointer, ctypes.byref(native), 1, None, ctypes.byref(out))
        )
        lib.omniid_identity_free(out)

    # So little work that the library does it on the calling thread: the call is what is measured.
    query, output = np.ones((2, 1, 16), np.float32), np.zeros((2, 1, 16), np.float32)
    roles = ("unconditional", "conditional")
    contenders = {
        "inject, NumPy": ("inject", lambda: conditioning.inject(0, query, output, roles=roles)),
        "encode, 1 photo": ("photo", lambda: engine.encode(photos[:1])),
        f"encode, {PHOTOS} photos": ("encode", lambda: engine.encode(photos)),
    }
    try:
        import torch

        a, b = torch.ones(2, 1, 16), torch.zeros(2, 1, 16)
        contenders["inject, torch"] = ("inject", lambda: conditioning.inject(0, a, b, roles=roles))
    except ImportError:
        print("PyTorch is not installed: its line is left out")
    times = {name: ([], []) for name in contenders}
    for _ in range(rounds):
        for name, (what, call) in contenders.items():
            for _ in range(SERIES[what]):
                times[name][0].append(series(bare, 1) if what == "photo" else in_c(what, CALLS[what]))
                times[name][1].append(series(call, CALLS[what]))
    c.stdin.close()
    c.wait()
    print("| call | C, µs | Python, µs | over C |\n|---|---|---|---|")
    good = True
    for name, pair in times.items():
        ours, theirs = (min(part) / 1e3 for part in (pair[1], pair[0]))
        extra = ours - theirs
        over = f"{extra:.1f} µs" if "inject" in name else f"{extra / theirs:.1%}"
        good &= extra <= 20 if "inject" in name else extra <= 0.05 * theirs
        print(f"| {name} | {theirs:.1f} | {ours:.1f} | {over} |")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
