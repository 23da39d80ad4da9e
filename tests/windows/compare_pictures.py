#!/usr/bin/env python3
"""Compares two BMP files of 24 bits: fails when a channel differs by more than one level, or more than a few pixels do.

    compare_pictures.py FIRST SECOND MOST_PIXELS
"""

import struct
import sys
from pathlib import Path


def pixels(path):
    """Width, height and the rows of blue, green and red, bottom first."""
    data = Path(path).read_bytes()
    offset, _, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", data, 10)
    if data[:2] != b"BM" or bits != 24 or compression != 0:
        raise SystemExit(f"{path}: no BMP of 24 bits")
    stride = (3 * width + 3) // 4 * 4
    rows = [data[offset + y * stride :][: 3 * width] for y in range(abs(height))]
    return width, height, b"".join(rows)


def main(first, second, most):
    a, b = pixels(first), pixels(second)
    if a[:2] != b[:2]:
        raise SystemExit(f"{a[0]} x {a[1]} and {b[0]} x {b[1]} pixels")
    if len(set(a[2])) < 50:
        raise SystemExit(f"{first}: hardly any colours, no picture")
    difference = [abs(x - y) for x, y in zip(a[2], b[2])]
    changed = sum(any(difference[at : at + 3]) for at in range(0, len(difference), 3))
    print(f"{changed} of {len(difference) // 3} pixels differ, by {max(difference)} level(s) at most")
    return 0 if changed <= int(most) and max(difference) <= 1 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
