#!/usr/bin/env python3
"""Writes the parity fixtures: small random models in the public formats, inputs, and the outputs of the peers.

    python tests/parity/generate.py --out tests/fixtures/parity            # the checked-in fixtures
    python tests/parity/generate.py --seed 7 --out DIR --areas vision      # another seed, one area
    python tests/parity/generate.py --out DIR --vision-width 96 --vision-heads 6

Each area is a module of the package `cases` with three members: NAME, the folder below --out; add_options(parser),
its sizes; generate(folder, options), which writes one folder per case. To add an area, write a module and list it in
`cases/__init__.py`.
"""

import argparse
from pathlib import Path

import cases

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "parity"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=20, help="seed of all random numbers (default 20)")
    parser.add_argument("--out", type=Path, default=FIXTURES, help="folder to write to")
    names = [area.NAME for area in cases.AREAS]
    parser.add_argument("--areas", nargs="+", choices=names, default=names, help="areas to write (default all)")
    for area in cases.AREAS:
        area.add_options(parser.add_argument_group(area.NAME))
    options = parser.parse_args()
    for area in cases.AREAS:
        if area.NAME in options.areas:
            folder = options.out / area.NAME
            folder.mkdir(parents=True, exist_ok=True)
            area.generate(folder, options)
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"{options.out}: {size / 1e6:.2f} MB, seed {options.seed}")


if __name__ == "__main__":
    main()
