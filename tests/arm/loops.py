#!/usr/bin/env python3
"""Reads the inner loops of the kernels as assembly: products are multiplied in registers.

    aarch64-linux-gnu-objdump -d --no-show-raw-insn PROGRAM | loops.py

Finds the loops without other branches that hold 16 or more products: there are some for f32, for bf16 and for bytes,
and none of them reads or writes the stack, which would mean that a register tile does not fit in the registers.
"""

import re
import sys
from collections import Counter

PRODUCTS = {"fmla", "bfdot", "bfmmla", "sdot", "smmla"}
# What the widest tiles consist of: every level of the choice at run time has its own.
EXPECTED = {"fmla", "bfmmla", "sdot", "smmla"}
LEAST = 16
FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:")
LINE = re.compile(r"^\s+([0-9a-f]+):\s+(\S+)\s*(.*)")
TARGET = re.compile(r"\b([0-9a-f]+) <")


def is_branch(operation):
    return operation.startswith("b.") or operation in ("b", "bl", "blr", "br", "ret", "cbz", "cbnz", "tbz", "tbnz")


def loops(lines):
    """Functions and bodies of the loops in a disassembly."""
    function, body = "", []
    for line in lines:
        name = FUNCTION.match(line)
        if name:
            function, body = name.group(1), []
            continue
        match = LINE.match(line)
        if not match:
            continue
        address, operation, operands = int(match.group(1), 16), match.group(2), match.group(3)
        body.append((address, operation, operands))
        if is_branch(operation):
            target = TARGET.search(operands)
            start = int(target.group(1), 16) if target else None
            # Since the last branch, so that a loop has none inside.
            if start is not None and body[0][0] <= start <= address:
                yield function, [entry for entry in body if entry[0] >= start]
            body = []


def main():
    found = Counter()
    for function, body in loops(sys.stdin):
        counts = Counter(operation for _, operation, _ in body)
        products = {operation: counts[operation] for operation in PRODUCTS if counts[operation]}
        # Those of NEON; the portable ones are not meant to be the fastest.
        if "4simd4neon" not in function or sum(products.values()) < LEAST:
            continue
        stack = [f"{operation} {operands}" for _, operation, operands in body if "[sp" in operands]
        assert not stack, f"{function}: {products} with {stack}"
        found.update(products.keys())
    assert EXPECTED <= set(found), f"no loop of {EXPECTED - set(found)}: {found}"
    print("loops in registers:", ", ".join(f"{count} of {kind}" for kind, count in sorted(found.items())))


if __name__ == "__main__":
    main()
