#!/usr/bin/env python3
"""Inserts OmniID's hook into a source tree of stable-diffusion.cpp.

    patch.py FOLDER            the folder with stable-diffusion.cpp's CMakeLists.txt
    patch.py --check FOLDER    says whether all places are there, and changes nothing

Calls of omniid_hook.hpp, which is copied into src/, are inserted at named places, found by the names of classes,
functions and variables. When one is missing or there more than once, nothing is written. A tree that has the hook is
left as it is. Works with the source in stable-diffusion-cpp-python 0.4.7 and with stable-diffusion.cpp of August 2026.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HOOK = "omniid_hook.hpp"


class Missing(Exception):
    """A place that is not where it is expected."""


def find_one(pattern: str, text: str, what: str, start: int = 0, end: int | None = None) -> re.Match[str]:
    """The only match of `pattern` between two places."""
    matches = list(re.compile(pattern, re.MULTILINE).finditer(text, start, len(text) if end is None else end))
    if len(matches) != 1:
        raise Missing(f"{what}: found {len(matches)} times, expected once")
    return matches[0]


def class_region(text: str, name: str) -> tuple[int, int]:
    """Begin and end of the body of a class."""
    head = find_one(rf"^[ \t]*(?:class|struct) {name}\b[^;{{]*{{", text, f"class {name}")
    depth, place = 1, head.end()
    while depth:
        if place == len(text):
            raise Missing(f"class {name}: its end is missing")
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        place += 1
    return head.end(), place


def insert(text: str, place: int, line: str) -> str:
    return text[:place] + line + text[place:]


def keep_name(text: str, name: str) -> str:
    """The class keeps the name under which its weights are known: forward() is not told it."""
    start, end = class_region(text, name)
    member = "std::string omniid_layer;"
    existing = list(re.compile(r"\bvoid init_params\([^;]*?\boverride\s*{").finditer(text, start, end))
    if existing:
        text = insert(text, existing[0].end(), "\n        omniid_layer = prefix;")
        return insert(text, start, f"\n    {member}")
    types = "ggml_context*, const String2TensorStorage&, const std::string prefix"
    return insert(text, start, f"\n    {member}\n    void init_params({types}) override {{ omniid_layer = prefix; }}\n")


def include(text: str) -> str:
    first = re.search(r"^[ \t]*#include ", text, re.MULTILINE)
    if first is None:
        raise Missing("the first #include")
    return insert(text, first.start(), f'#include "{HOOK}"\n')


def cross_attention(text: str) -> str:
    """UNets: between the attention and the output projection."""
    text = keep_name(text, "CrossAttention")
    region = class_region(text, "CrossAttention")
    call = find_one(r"^([ \t]*)(\w+)\s*=\s*to_out_0->forward\(", text, "CrossAttention: its output projection", *region)
    query = find_one(r"\bauto (\w+)\s*=\s*to_q->forward\(", text, "CrossAttention: its query", *region)
    x = call[2]
    line = f"{call[1]}{x} = omniid_hook::layer(ctx->ggml_ctx, ctx->backend, {query[1]}, {x}, omniid_layer);\n"
    return include(insert(text, call.start(), line))


def double_block(text: str) -> str:
    """FLUX: behind a double block, when its MLP was added to the image."""
    text = keep_name(text, "DoubleStreamBlock")
    region = class_region(text, "DoubleStreamBlock")
    what = "DoubleStreamBlock: the addition of the image's MLP"
    added = find_one(r"^([ \t]*)(\w+)\s*=\s*ggml_add\([^\n;]*\bimg_mlp_out\b[^\n;]*;[^\n]*\n", text, what, *region)
    find_one(r"\bauto img_q\s*=", text, "DoubleStreamBlock: the image's query", *region)
    x = added[2]
    line = f"{added[1]}{x} = omniid_hook::layer(ctx->ggml_ctx, ctx->backend, img_q, {x}, omniid_layer);\n"
    return include(insert(text, added.end(), line))


def inputs(text: str) -> str:
    """Where a graph's inputs are filled."""
    head = find_one(r"\bvoid copy_data_to_backend_tensor\([^)]*\) {", text, "copy_data_to_backend_tensor")
    return include(insert(text, head.end(), "\n        omniid_hook::fill(compute_ctx);"))


def sampling(text: str) -> str:
    """Where the sampler runs the model: sigma, step and side of guidance."""
    start = find_one(r"\bauto run_condition\s*=", text, "run_condition").end()
    what = "run_condition: the call of the model"
    call = find_one(r"^([ \t]*)auto \w+\s*=\s*work_diffusion_model->compute\(", text, what, start)
    shape = "noised_input.shape()"
    arguments = f"sigma, step, static_cast<double>(steps), &condition == &uncond, {shape}[1], {shape}[0]"
    return include(insert(text, call.start(), f"{call[1]}omniid_hook::begin({arguments});\n"))


# What is done in which file, which later versions keep in other folders.
PLACES = [
    (("src/common_block.hpp", "src/model/common/block.hpp"), cross_attention),
    (("src/flux.hpp", "src/model/diffusion/flux.hpp"), double_block),
    (("src/ggml_extend.hpp", "src/core/ggml_extend.hpp"), inputs),
    (("src/stable-diffusion.cpp",), sampling),
]


def main() -> int:
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    check = arguments[:1] == ["--check"]
    if len(arguments) != 1 + check or arguments[-1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    root = Path(arguments[-1])
    changed = []
    try:
        for names, change in PLACES:
            path = next((root / name for name in names if (root / name).is_file()), None)
            if path is None:
                raise Missing(f"{' or '.join(names)}: no such file in {root}")
            text = path.read_bytes().decode()
            if HOOK in text:
                continue
            try:
                changed.append((path, change(text)))
            except Missing as error:
                raise Missing(f"{path}: {error}") from None
    except Missing as error:
        print(f"{error}; this version of stable-diffusion.cpp is not known, nothing was changed", file=sys.stderr)
        return 1
    if check:
        print(f"{len(PLACES) - len(changed)} of {len(PLACES)} files have the hook, the others have place for it")
        return 0
    (root / "src" / HOOK).write_bytes((Path(__file__).resolve().parent / HOOK).read_bytes())
    for path, text in changed:
        path.write_bytes(text.encode())
        print(f"{path}: hook inserted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
