#!/usr/bin/env python3
"""What the hook of a ComfyUI layer costs over `omniid_inject` from C, in the same run, rounds alternating; the best
round of each, because other programs only ever add.

    python bindings/comfyui/benches/hook_overhead.py [--rounds 400]

Needs the Python package `omniid`, PyTorch and a C compiler. The text's attention, which ComfyUI computes with or
without the hook, is timed beside it and taken off. ComfyUI's modules are the tests' stand-in. Ends with status 1 when
the hook costs more than 20 µs over C: a busy machine can make it so.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [
    str(HERE.parent / "tests"),
    str(ROOT / "bindings" / "python" / "tests"),
    str(ROOT / "bindings" / "python" / "benches"),
]

import comfy_stand_in  # noqa: E402
import native_model  # noqa: E402
import omniid  # noqa: E402
import torch  # noqa: E402
from overhead import c_program, series  # noqa: E402

CALLS = 20
"""Of one series: so few that many series are left undisturbed by other programs."""
LIMIT = 20
"""Microseconds per layer."""


def load_pack():
    """The pack, imported by its folder, as ComfyUI does it."""
    folder = HERE.parent
    spec = importlib.util.spec_from_file_location(
        "omniid_pack", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["omniid_pack"] = module
    spec.loader.exec_module(module)
    return importlib.import_module("omniid_pack.hook")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary, torch.inference_mode():
        return measure(Path(temporary), options.rounds)


def measure(folder, rounds):
    comfy_stand_in.install(folder / "ComfyUI")
    hook = load_pack()
    model = native_model.write(folder / "model.safetensors")
    engine = omniid.Engine.open(model)
    identity = engine.encode([native_model.picture(seed) for seed in range(3)]).identity
    # The shapes and numbers of overhead.c: so little work that the call is what is measured.
    query, text = torch.ones(2, 1, 16), torch.zeros(2, 8, 16)
    call = {
        "cond_or_uncond": [1, 0],
        "n_heads": 2,
        "dim_head": 8,
        "attn_precision": None,
        "sigmas": torch.tensor([5.0, 5.0]),
        "original_shape": [2, 4, 8, 8],
        "block": ("input", 1),
        "block_index": 0,
    }
    replacement = hook.AttentionHook(hook.Injection(engine.condition(identity)), 0, None)
    contenders = {
        "text": lambda: hook.text_attention(query, text, text, call),
        "hook": lambda: replacement(query, text, text, call),
    }
    c = subprocess.Popen([c_program(folder), model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    c.stdout.readline()
    times = {name: [] for name in ("C", *contenders)}
    for _ in range(rounds):
        c.stdin.write(f"inject {CALLS}\n")
        c.stdin.flush()
        times["C"].append(float(c.stdout.readline()))
        for name, work in contenders.items():
            times[name].append(series(work, CALLS))
    c.stdin.close()
    c.wait()
    best = {name: min(values) / 1e3 for name, values in times.items()}
    over = best["hook"] - best["text"] - best["C"]
    print("| call | C, µs | hook, µs | text's attention alone, µs | over C |\n|---|---|---|---|---|")
    print(f"| one layer | {best['C']:.1f} | {best['hook']:.1f} | {best['text']:.1f} | {over:.1f} µs |")
    return 0 if over <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
