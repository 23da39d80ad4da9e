#!/usr/bin/env python3
"""Compares what two builds have made of the same photos.

    compare.py tokens LIMIT EXPECTED OTHER...    identity files: largest difference of a token's value
    compare.py picture PIXELS EXPECTED OTHER...  BMP files: at most so many values differ, each by one level

Needs nothing but Python. Fails where a limit is exceeded, and where nothing was compared.
"""

import json
import struct
import sys
from pathlib import Path


def tokens(path):
    """All tokens of an identity file, a safetensors file."""
    data = Path(path).read_bytes()
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + length])
    assert header["tokens"]["dtype"] == "F32", header["tokens"]
    begin, end = (8 + length + offset for offset in header["tokens"]["data_offsets"])
    values = struct.unpack(f"<{(end - begin) // 4}f", data[begin:end])
    assert values and any(values), path
    return header["tokens"]["shape"], values


def picture(path):
    """Size and bytes of the pixels of a BMP file."""
    data = Path(path).read_bytes()
    assert data[:2] == b"BM", path
    start = struct.unpack_from("<I", data, 10)[0]
    pixels = data[start:]
    assert len(set(pixels)) > 16, f"{path} shows nothing"
    return struct.unpack_from("<ii", data, 18), pixels


def differences(read, expected, other):
    (shape, values), (other_shape, others) = read(expected), read(other)
    assert shape == other_shape, f"{expected} has shape {shape}, {other} {other_shape}"
    return [abs(a - b) for a, b in zip(values, others)]


def main(kind, limit, expected, *others):
    assert others
    for other in others:
        name = Path(other).name
        if kind == "tokens":
            largest = max(differences(tokens, expected, other))
            print(f"{name}: tokens differ by {largest:.1e} at most")
            # A NaN is no number that is small enough.
            assert largest <= float(limit), f"{name}: more than {limit}"
        else:
            apart = [difference for difference in differences(picture, expected, other) if difference]
            print(f"{name}: {len(apart)} values differ, by {max(apart, default=0)} at most")
            assert len(apart) <= int(limit) and max(apart, default=0) <= 1, f"{name}: more than {limit}, or by more"


if __name__ == "__main__":
    if len(sys.argv) < 5 or sys.argv[1] not in ("tokens", "picture"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
