#!/usr/bin/env python3
"""Encoding at scale: throughput beside plain processes, memory over many photos, workers that are killed.

    measure.py throughput [--photos N] [--rounds N] [--workers N] [--only processes|Ray]
    measure.py memory [--photos N] [--workers N] [--only processes|Ray]
    measure.py killed [--photos N] [--kills N] [--workers N]

Photos are those of examples/photos, made smaller (`--side N` pixels), again and again, five for each person, encoded
with the model inside the library. Prints tables in Markdown. `killed` exits with 1 when a person or a photo is missing
or there twice, or when a number is another one than without kills. Needs the package `omniid` (PYTHONPATH,
OMNIID_LIBRARY) with pyarrow, ray and Pillow.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray lets workers go behind everything else on the machine.
os.environ.setdefault("RAY_worker_niceness", "0")
# As `encode_on_ray` sets it for a Ray of its own.
os.environ.setdefault("RAY_enable_metrics_collection", "false")

ROOT = Path(__file__).resolve().parents[2]
EACH = 5
"""Photos of a person."""

PLAIN = """
import json, sys, time
import numpy as np
from omniid import Engine
people = json.loads(sys.stdin.readline())
engine = Engine.open()
begun = time.monotonic()
tokens = [engine.encode(photos, label=name).identity.tokens().numpy() for name, photos in people]
np.save(sys.argv[1], np.stack(tokens).astype(np.float16))
print(sum(len(photos) for _, photos in people) / (time.monotonic() - begun))
"""
"""What somebody would write without this package's help."""


def table(folder, photos, side):
    """A table of so many photos."""
    from PIL import Image

    files = []
    for path in sorted((ROOT / "examples" / "photos").glob("person-*/*.jpg")):
        files.append(folder / f"{path.parent.name}-{path.name}")
        with Image.open(path) as image:
            image.resize((side, side), Image.Resampling.LANCZOS).save(files[-1], quality=92)
    rows = [f"person {number // EACH:06d},{files[number * 7 % len(files)]}" for number in range(photos)]
    path = folder / "photos.csv"
    path.write_text("person,photo\n" + "\n".join(rows) + "\n")
    return path


def items_of(path):
    from omniid import many

    return many.items_of([path], lambda what, why: sys.exit(f"{what}: {why}"))


def processor_seconds():
    """Of this process and all that it started, those that have ended included."""
    total = 0
    for pid in tree():
        try:
            total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except (OSError, ValueError):
            continue
    return total / os.sysconf("SC_CLK_TCK")


class Same:
    """Gives a batch as it is."""

    def __call__(self, batch):
        return batch


def start_ray(workers):
    """Ray, with the processes that Ray Data keeps in a cluster from its first job on."""
    import ray

    begun = time.monotonic()
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, object_store_memory=256 << 20)
    data = ray.data.from_items([0]).map_batches(Same, compute=ray.data.ActorPoolStrategy(size=1))
    data.materialize()
    print(f"Ray is there after {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)


def encode(way, items, workers, out, progress=None, people=64):
    """A job by processes or by Ray: its counts, seconds, and seconds of processors. Ray is there before the clock runs,
    as it is on a cluster, and not there when others are measured."""
    from omniid import many

    job = many.Job(str(out))
    if way == "processes":
        begun, before = time.monotonic(), processor_seconds()
        found = many.encode_many(job, items, workers, people, progress=progress)
        return found, time.monotonic() - begun, processor_seconds() - before
    import ray
    from omniid.ray import encode_on_ray

    start_ray(workers)
    try:
        begun, before = time.monotonic(), processor_seconds()
        found = encode_on_ray(job, items, workers, people, progress=progress)
        return found, time.monotonic() - begun, processor_seconds() - before
    finally:
        ray.shutdown()


def plain(items, workers, folder):
    """Seconds of plain processes, each with its share of the people, photos per second once they are at work, and
    seconds of processors."""
    environment = {**os.environ, "OMNIID_THREADS": str(max((os.cpu_count() or 1) // workers, 1))}
    begun, before = time.monotonic(), processor_seconds()
    running = []
    for number in range(workers):
        share = [[item.person, [photo.place for photo in item.photos]] for item in items[number::workers]]
        process = subprocess.Popen(
            [sys.executable, "-c", PLAIN, folder / f"{number}.npy"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=environment,
        )  # fmt: skip
        process.stdin.write(json.dumps(share) + "\n")
        process.stdin.close()
        running.append(process)
    speeds = [float(process.stdout.read() or "nan") for process in running]
    if any([process.wait() for process in running]):
        sys.exit("a plain process failed")
    return time.monotonic() - begun, sum(speeds), processor_seconds() - before


def throughput(options, folder):
    items = items_of(table(folder, options.photos, options.side))
    whole, steady, busy = {}, {}, {}
    ways = ["plain", *(options.only or ("processes", "Ray"))]
    for number in range(options.rounds):
        order = list(ways)
        random.Random(number).shuffle(order)
        for way in order:
            out, moments = folder / f"{way}-{number}", []
            if way == "plain":
                out.mkdir()
                took, speed, used = plain(items, options.workers, out)
            else:
                found, took, used = encode(
                    way, items, options.workers, out,
                    lambda _done, _total, counts, moments=moments: moments.append((time.monotonic(), counts.photos)),
                )  # fmt: skip
                assert found.photos == options.photos, found
                # From when every worker has done its first chunk.
                (begun, before), (ended, after) = moments[options.workers - 1], moments[-1]
                speed = (after - before) / (ended - begun)
            whole.setdefault(way, []).append(options.photos / took)
            steady.setdefault(way, []).append(speed)
            busy.setdefault(way, []).append(1000 * used / options.photos)
            print(f"round {number + 1}, {way}: {took:.1f} s, {speed:.1f} photos/s", file=sys.stderr, flush=True)
    print(f"{options.photos} photos of {options.side} pixels, {options.workers} workers, {options.rounds} rounds;")
    print("median (lowest to highest)\n")
    print("| | whole job, photos/s | of plain processes | at work, photos/s | of plain processes "
          "| processors, ms a photo |")  # fmt: skip
    print("|---|---:|---:|---:|---:|---:|")
    for way in ways:
        cells = []
        for speeds in (whole, steady):
            ratio = [mine / theirs for mine, theirs in zip(speeds[way], speeds["plain"])]
            for values, digits in ((sorted(speeds[way]), 1), (sorted(ratio), 2)):
                middle, low, high = (f"{v:.{digits}f}" for v in (statistics.median(values), values[0], values[-1]))
                cells.append(f"{middle} ({low} to {high})")
        print(f"| {way} | {' | '.join(cells)} | {statistics.median(busy[way]):.2f} |")


def tree():
    """Process ids of this process and all below it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry))
    found, waiting = [], [os.getpid()]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def megabytes(pid):
    """Resident memory of a process, pages that are shared divided among those that share them."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def at_work(out):
    """Process ids of the workers that are at a person."""
    found = []
    for path in out.glob(".attempts-*"):
        try:
            found.append(json.loads(path.read_text())["pid"])
        except (OSError, ValueError, KeyError):
            continue  # written or removed at this moment
    return sorted(set(found))


def memory(options, folder):
    items = items_of(table(folder, options.photos, options.side))
    print(f"{options.photos} photos of {options.side} pixels, {options.workers} workers; MB\n")
    print("| | photos/s | | at 10 % | at 25 % | at 50 % | at 75 % | at 100 % | from 20 to 100 % of the photos |")
    print("|---|---:|---|---:|---:|---:|---:|---:|---:|", flush=True)
    for way in options.only or ("processes", "Ray"):
        samples, workers = [], {}

        def progress(done, total, counts, samples=samples, workers=workers, out=folder / way):
            for pid in at_work(out):
                workers[pid] = True
            here = [megabytes(pid) for pid in workers]
            samples.append((done / total, sum(map(megabytes, tree())), max(here, default=0.0)))

        found, *_ = encode(way, items, options.workers, folder / way, progress, people=16)
        print(f"{way}: {found}", file=sys.stderr, flush=True)
        for name, place in (("all processes", 1), ("the largest worker", 2)):
            points = [next(sample for sample in samples if sample[0] >= share)[place]
                      for share in (0.1, 0.25, 0.5, 0.75, 1.0)]  # fmt: skip
            late = [(sample[0], sample[place]) for sample in samples if sample[0] >= 0.2]
            slope = statistics.linear_regression(*zip(*late)).slope * 0.8
            speed = f"{found.photos / found.seconds:.1f}" if place == 1 else ""
            numbers = " | ".join(f"{point:.0f}" for point in points)
            print(f"| {way if place == 1 else ''} | {speed} | {name} | {numbers} | {slope:+.1f} |", flush=True)


def rows(out):
    from omniid import many

    found = {}
    for row in many.read(str(out)):
        if row.person in found:
            sys.exit(f"{row.person} is there twice")
        found[row.person] = row
    return found


def killed(options, folder):
    items = items_of(table(folder, options.photos, options.side))
    encode("processes", items, options.workers, folder / "whole")
    expected = rows(folder / "whole")
    print("| | photos | kills | people, photos | numbers |")
    print("|---|---:|---:|---:|---|")
    for way in ("processes", "Ray"):
        out, kills = folder / way, []
        moments = [len(items) * (number + 1) // (options.kills + 1) for number in range(options.kills)]
        done, over = [0], threading.Event()

        def kill(out=out, kills=kills, moments=moments, done=done, over=over):
            while len(kills) < len(moments) and not over.wait(0.005):
                pids = [pid for pid in at_work(out) if pid not in kills]
                if done[0] >= moments[len(kills)] and pids:
                    os.kill(pids[0], signal.SIGKILL)
                    kills.append(pids[0])

        thread = threading.Thread(target=kill)
        thread.start()
        found, *_ = encode(
            way, items, options.workers, out, lambda now, *_, done=done: done.__setitem__(0, now), people=16
        )
        over.set()
        thread.join()
        got = rows(out)
        same = all((got[name].tokens == row.tokens).all() and got[name].report == row.report
                   for name, row in expected.items())  # fmt: skip
        photos = sum(len(row.report) for row in got.values())
        used = sum(photo["used"] for row in got.values() for photo in row.report)
        print(f"| {way} | {options.photos} | {len(kills)} | {len(got)}, {used} | {'the same' if same else 'others'} |",
              flush=True)  # fmt: skip
        if set(got) != set(expected) or photos != options.photos or found.photos != options.photos or not same:
            sys.exit(f"{way}: {len(got)} people with {photos} photos, of {len(expected)} with {options.photos}")
        if len(kills) < options.kills:
            sys.exit(f"{way}: only {len(kills)} workers were there to be killed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("throughput", "memory", "killed"))
    parser.add_argument("--photos", type=int)
    parser.add_argument("--side", type=int, default=0, help="[default: 160; memory: 80]")
    parser.add_argument("--only", nargs="*", choices=("processes", "Ray"), help="of `memory` and `throughput`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    photos = {"throughput": 2_000, "memory": 20_000, "killed": 2_000}
    options.photos = (options.photos or photos[options.what]) // EACH * EACH
    options.side = options.side or (80 if options.what == "memory" else 160)
    folder = Path(tempfile.mkdtemp())
    try:
        {"throughput": throughput, "memory": memory, "killed": killed}[options.what](options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
