#!/usr/bin/env python3
"""Time from the start of the program to its end, where it has next to nothing to do.

    benches/start/measure.py PROGRAM [--runs N]

`--version` must take at most 20 ms: what is large, the weights and the worker threads, waits until it is needed. The
shortest of many runs counts, as the others tell what else the machine does. Exits with 1 above the limit.
"""

import argparse
import statistics
import subprocess
import sys
import time

LIMIT = 0.020


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--runs", type=int, default=50)
    options = parser.parse_args()
    shortest = {}
    for words in (["--version"], ["--help"], ["encode", "--help"], ["completions", "bash"]):
        times = []
        for _ in range(options.runs):
            begin = time.perf_counter()
            subprocess.run([options.program, *words], stdout=subprocess.DEVNULL, check=True)
            times.append(time.perf_counter() - begin)
        shortest[words[0]] = min(times)
        name = " ".join(words)
        print(f"omniid {name:<16} {min(times) * 1e3:6.2f} ms, median {statistics.median(times) * 1e3:6.2f} ms")
    return 0 if shortest["--version"] <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
