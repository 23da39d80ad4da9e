#!/usr/bin/env python3
"""Kills the program while it saves, and lets it save on full and read-only disks and run out of memory.

    faults.py PROGRAM MODEL PHOTOS [--host SOAK] [--kills N] [--steps N] [--seed N]

PROGRAM is `omniid`, MODEL a small native checkpoint, PHOTOS a folder with two photos of different people. After each
fault the old or the new file is there, whole; the message names the file; no temporary files heap up. Prints a table in
Markdown. Exits with 1 at the first thing that does not hold.

As root on Linux, full and read-only disks are tmpfs mounts; otherwise a limit of the size of files and a folder without
permission stand in for them.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAINING = """
name = "soak"
seed = 3
steps = 1000000

[model]
image_size = 16
patch_size = 8
width = 16
blocks = 1
heads = 2
queries = 4
encoder_width = 16
encoder_depth = 1
encoder_heads = 2
token_width = 16

[masked]
width = 16
depth = 1
heads = 2
decoded_fraction = 0.5

[sampler]
people = 4
fewest_inputs = 2
most_inputs = 2
targets = 2

[schedule]
warm_up = 2
length = 6

[evaluation]
every = 1000000
people = 4
inputs = 2
targets = 2

[report]
state_every = 1
"""


class Wrong(Exception):
    """Something that must hold does not."""


def expect(holds, text):
    if not holds:
        raise Wrong(text)


def tensors(data):
    """The tensors of a safetensors file without its metadata, which hold the time; None for half a file."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
    except (struct.error, ValueError):
        return None
    header.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    return (header, data[8 + length :]) if len(data) == 8 + length + end else None


def training_set(path):
    """Noise in the layout of `Dataset::save`: 12 people with 8 pictures of 16 pixels."""
    people, pictures, side, view, points = 12, 8, 16, 46, 10
    count = people * pictures
    draw = random.Random(1)
    shapes = [
        ("view", "F32", [count, view]),
        ("points", "F32", [count, points]),
        ("pixels", "U8", [count, side, side, 3]),
        ("mask", "U8", [count, side, side]),
        ("role", "U8", [count]),
    ]
    header, data = {}, b""
    for name, kind, shape in shapes:
        size = 1
        for length in shape:
            size *= length
        if kind == "F32":
            part = struct.pack(f"<{size}f", *(draw.uniform(-0.5, 0.5) for _ in range(size)))
        elif name == "role":
            part = b"\2" * size
        else:
            part = draw.randbytes(size)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    names = json.dumps([["noise", str(n), pictures] for n in range(people)])
    header["__metadata__"] = {"omniid.dataset": "1", "omniid.size": str(side), "omniid.people": names}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class Saver:
    """A command that writes `target` below a folder, in two versions."""

    def __init__(self, name, target, versions, content):
        self.name, self.target, self.versions, self.content = name, target, versions, content
        self.expected = []

    def command(self, version, folder):
        return [word.replace("TARGET", str(folder / self.target)) for word in self.versions[version]]


class Place:
    """What all parts share."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.random = random.Random(options.seed)
        photos = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
        people = [photos[0], photos[-1]]
        model = ["-c", str(options.model)]
        training_set(folder / "set.safetensors")
        (folder / "run.toml").write_text(TRAINING)
        self.run(["encode", str(people[0]), "-o", str(folder / "drawn.omniid")])
        drawn = ["generate", str(folder / "drawn.omniid"), "--steps", "1", "--guidance", "1", "--views", "front"]
        self.savers = [
            Saver(
                "identity (encode)",
                "a.omniid",
                [["encode", str(photo), *model, "-o", "TARGET", "--force"] for photo in people],
                tensors,
            ),
            Saver(
                "checkpoint (convert native)",
                "a.safetensors",
                [["convert", "native", "-o", "TARGET", "--force", "--dtype", kind] for kind in ("f16", "bf16")],
                bytes,
            ),
            Saver(
                "sheet (generate)",
                "a.png",
                [[*drawn, "--seed", seed, "--out", "TARGET", "--force"] for seed in "01"],
                bytes,
            ),
        ]
        for saver in self.savers:
            for version in (0, 1):
                self.run(saver.command(version, folder))
                saver.expected.append(saver.content((folder / saver.target).read_bytes()))
            expect(saver.expected[0] != saver.expected[1], f"{saver.name}: two versions are the same")

    def start(self, words, **more):
        return subprocess.Popen(
            [str(self.options.program), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"LC_ALL": "C", "OMNIID_THREADS": "2"},
            **more,
        )

    def run(self, words):
        process = self.start(words)
        text = process.communicate()[1].decode()
        expect(process.returncode == 0, f"{words}: {process.returncode}: {text}")
        return text

    def version(self, saver, folder):
        """Which version lies at the target; fails for anything else."""
        path = folder / saver.target
        expect(path.exists(), f"{saver.name}: {path} is gone")
        found = saver.content(path.read_bytes())
        expect(found in saver.expected, f"{saver.name}: {path} is neither the old nor the new file")
        return saver.expected.index(found)


def leftovers(folder):
    return [name for name in os.listdir(folder) if name.startswith(".omniid-") and name.endswith(".tmp")]


def kill_while_saving(place, process, folder, known, save_time, whole_time):
    """Sends SIGKILL at a random moment, mostly one of the save. Says whether the process was still there."""
    anywhere = place.random.random() < 0.2
    begin = time.monotonic()
    if anywhere:
        pause = place.random.uniform(0, whole_time)
    else:
        while process.poll() is None and not set(leftovers(folder)) - known:
            time.sleep(0.0002)
        begin = time.monotonic()
        pause = place.random.uniform(0, 1.3 * save_time)
    while time.monotonic() < begin + pause and process.poll() is None:
        time.sleep(min(0.0003, max(0.0, begin + pause - time.monotonic())))
    process.kill()
    process.stderr.read()
    process.stderr.close()
    return process.wait() == -signal.SIGKILL


def measured(place, saver, folder):
    """Seconds from the temporary file to the end, and of the whole command; the shortest of five."""
    saves, wholes = [], []
    for number in range(5):
        begin, first = time.monotonic(), None
        process = place.start(saver.command(number % 2, folder))
        while process.poll() is None:
            if first is None and leftovers(folder):
                first = time.monotonic()
            time.sleep(0.0002)
        process.stderr.close()
        end = time.monotonic()
        saves.append(end - (first or end))
        wholes.append(end - begin)
    return max(saves[1:]), min(wholes)


def kills(place, rows):
    for saver in place.savers:
        folder = place.folder / "kills"
        folder.mkdir()
        place.run(saver.command(0, folder))
        save_time, whole_time = measured(place, saver, folder)
        held, counts, most = place.version(saver, folder), {"old": 0, "new": 0, "done": 0}, 0
        while counts["old"] + counts["new"] < place.options.kills:
            number = sum(counts.values())
            known = set(leftovers(folder))
            version = 1 - held
            process = place.start(saver.command(version, folder))
            killed = kill_while_saving(place, process, folder, known, save_time, whole_time)
            found = place.version(saver, folder)
            counts["done" if not killed else "new" if found == version else "old"] += 1
            expect(killed or found == version, f"{saver.name}: run {number} ended, and the file is the old one")
            held = found
            most = max(most, len(leftovers(folder)))
        # One for the process killed last, and one for each that was killed before it had tidied.
        expect(most <= 20, f"{saver.name}: {most} temporary files")
        place.run(saver.command(1 - held, folder))
        expect(not leftovers(folder), f"{saver.name}: the last save left {leftovers(folder)}")
        rows.append(
            [
                f"kill -9, {saver.name}",
                place.options.kills,
                f"old file {counts['old']}, new file {counts['new']}, never neither ({counts['done']} more ended "
                "before); "
                f"at most {most} temporary file(s), none after the next save",
            ]
        )
        shutil.rmtree(folder)


def training_steps(folder):
    """Steps of the whole states in a run's folder."""
    steps = []
    for name in ("state.safetensors", "state-previous.safetensors", "state-next.safetensors"):
        path = folder / name
        if not path.exists():
            continue
        data = path.read_bytes()
        expect(tensors(data) is not None, f"training: {path} is half a file")
        (length,) = struct.unpack_from("<Q", data)
        steps.append(int(json.loads(data[8 : 8 + length])["__metadata__"]["omniid.step"]))
    return steps


def train(place, folder, *more):
    words = ["train", str(place.folder / "run.toml"), "--data", str(place.folder / "set.safetensors")]
    return [*words, "--out", str(folder), "-q", *more]


def kills_of_training(place, rows):
    folder = place.folder / "run"
    newest, most, resumed = 0, 0, 0
    for number in range(place.options.kills):
        process = place.start(train(place, folder, *(["--resume"] if newest else [])))
        # Until it has saved once more, then a random moment: it saves after every step.
        while process.poll() is None and max(training_steps_soon(folder), default=0) <= newest:
            time.sleep(0.001)
        if process.poll() is None:
            time.sleep(place.random.uniform(0, 0.02))
        process.kill()
        text = process.stderr.read().decode()
        process.stderr.close()
        expect(process.wait() == -signal.SIGKILL, f"training: run {number} ended by itself: {text}")
        expect("went back" not in text, f"training: run {number}: {text}")
        steps = training_steps(folder)
        expect(steps and max(steps) > newest, f"training: run {number}: states {steps} after {newest}")
        newest = max(steps)
        resumed += 1
        most = max(most, len(leftovers(folder)))
    expect(most <= 20, f"training: {most} temporary files")
    place.run(train(place, folder, "--resume", "--allow-changes", "--steps", str(newest + 2)))
    expect(not leftovers(folder), f"training: {leftovers(folder)} are left")
    rows.append(
        [
            "kill -9, training state (train, a state after every step)",
            place.options.kills,
            f"each of {resumed} runs went on from the newest state (step {newest} in the end); at most {most} "
            "temporary file(s), none in the end",
        ]
    )
    shutil.rmtree(folder)


def training_steps_soon(folder):
    """As training_steps, while somebody writes."""
    try:
        return training_steps(folder)
    except (Wrong, OSError):
        return []


def failed(place, saver, folder, process, held, case):
    """A save that may fail: an error that names the file, and the file as it was. Says whether it failed."""
    text = process.communicate()[1].decode(errors="replace")
    expect(process.returncode in (0, 1), f"{saver.name}: {case}: exit {process.returncode}: {text}")
    found = place.version(saver, folder)
    expect(not leftovers(folder), f"{saver.name}: {case}: {leftovers(folder)} are left")
    if process.returncode == 0:
        return False
    expect(saver.target in text and "error[io]" in text, f"{saver.name}: {case}: {text}")
    expect(found == held, f"{saver.name}: {case}: the old file is gone")
    return True


class Mount:
    """A tmpfs; `with` unmounts it."""

    def __init__(self, folder, size):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)

    def read_only(self):
        subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", str(self.folder)], check=True)
        self.folder.rmdir()


def may_mount():
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return False
    folder = Path(tempfile.mkdtemp())
    try:
        with Mount(folder, "64k"):
            return True
    except (subprocess.CalledProcessError, OSError):
        return False


def full_disk(place, saver):
    """Disks with room for the old file and a part of the new one."""
    errors, steps = 0, place.options.steps
    size = max((place.folder / saver.target).stat().st_size, 4096)
    for step in range(steps):
        room = (size + 4096 + size * step // steps) // 4096 * 4096
        with Mount(place.folder / "disk", room) as disk:
            shutil.copy(place.folder / saver.target, disk.folder)
            held = place.version(saver, disk.folder)
            process = place.start(saver.command(1 - held, disk.folder))
            errors += failed(place, saver, disk.folder, process, held, f"disk of {room} bytes")
    return errors


def limited_files(place, saver):
    """Files that may not grow beyond a part of the new one (RLIMIT_FSIZE)."""
    errors, steps = 0, place.options.steps
    folder = place.folder / "limited"
    folder.mkdir()
    shutil.copy(place.folder / saver.target, folder)
    size = (folder / saver.target).stat().st_size
    held = place.version(saver, folder)
    for step in range(steps):
        most = size * step // steps

        def limit(most=most):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            # The system's way to tell, unless the signal is ignored, which ends the process.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        process = place.start(saver.command(1 - held, folder), preexec_fn=limit, restore_signals=False)
        errors += failed(place, saver, folder, process, held, f"files of {most} bytes")
    shutil.rmtree(folder)
    return errors


def full_device(place, saver):
    if not os.path.exists("/dev/full"):
        return 0
    words = [word.replace("TARGET", "/dev/full") for word in saver.versions[0]]
    if words[0] == "generate":
        return 0  # A sheet's name says its format.
    process = place.start(words)
    text = process.communicate()[1].decode()
    expect(process.returncode == 1 and "/dev/full" in text, f"{saver.name}: /dev/full: {process.returncode}: {text}")
    return 1


def read_only(place, saver, mounts):
    folder = place.folder / "read-only"
    if mounts:
        with Mount(folder, "64m") as disk:
            shutil.copy(place.folder / saver.target, folder)
            held = place.version(saver, folder)
            disk.read_only()
            return failed_read_only(place, saver, folder, held)
    folder.mkdir()
    shutil.copy(place.folder / saver.target, folder)
    held = place.version(saver, folder)
    folder.chmod(0o555)
    try:
        return failed_read_only(place, saver, folder, held)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def failed_read_only(place, saver, folder, held):
    process = place.start(saver.command(1 - held, folder))
    text = process.communicate()[1].decode()
    expect(process.returncode == 1, f"{saver.name}: read-only: {process.returncode}: {text}")
    expect(str(folder) in text and "error[io]" in text, f"{saver.name}: read-only: {text}")
    expect(place.version(saver, folder) == held, f"{saver.name}: read-only: the old file is gone")
    return 1


def disks(place, rows):
    mounts = may_mount()
    for saver in place.savers:
        tried = errors = 0
        if mounts:
            tried += place.options.steps
            errors += full_disk(place, saver)
        tried += place.options.steps
        errors += limited_files(place, saver)
        device = full_device(place, saver)
        kinds = "tmpfs, RLIMIT_FSIZE" if mounts else "RLIMIT_FSIZE"
        expect(errors > 0, f"{saver.name}: no disk was too small")
        rows.append(
            [
                f"full disk, {saver.name}",
                tried + device,
                f"{kinds}{', /dev/full' if device else ''}: {errors + device} errors that name the file, old file "
                "whole; the others fitted",
            ]
        )
        if mounts or os.geteuid() != 0:
            rows.append(
                [
                    f"read-only disk, {saver.name}",
                    read_only(place, saver, mounts),
                    "error names the file, old file whole",
                ]
            )
    training_on_a_full_disk(place, rows, mounts)


def training_on_a_full_disk(place, rows, mounts):
    if not mounts:
        return
    errors, steps = 0, max(2, place.options.steps // 4)
    folder = place.folder / "disk"
    for step in range(steps):
        with Mount(folder, 8 << 20):
            place.run(train(place, folder / "run", "--steps", "2"))
            before = training_steps(folder / "run")
            used = sum(path.stat().st_size for path in (folder / "run").iterdir())
            state = (folder / "run/state.safetensors").stat().st_size
            room = (used + state * step // steps) // 4096 * 4096 + 16384
            subprocess.run(["mount", "-o", f"remount,size={room}", str(folder)], check=True)
            process = place.start(train(place, folder / "run", "--resume", "--allow-changes", "--steps", "4"))
            text = process.communicate()[1].decode()
            expect(process.returncode in (0, 1), f"training: full disk: {process.returncode}: {text}")
            after = training_steps(folder / "run")
            expect(max(after) >= max(before), f"training: full disk: states {before}, then {after}")
            if process.returncode == 1:
                errors += 1
                expect(str(folder) in text, f"training: full disk: {text}")
            expect(not leftovers(folder / "run"), f"training: full disk: {leftovers(folder / 'run')}")
    rows.append(["full disk, training state", steps, f"tmpfs: {errors} errors that name the file, states whole"])


def least(place):
    """Address space in which the program can be loaded and says its version: below, the system kills it."""
    most = 8 << 20
    while True:

        def limit(most=most):
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        process = place.start(["--version"], preexec_fn=limit)
        process.communicate()
        if process.returncode == 0:
            return most
        most += 256 << 10


def without_memory(code, text, case):
    """How a process ended that did not get its memory: with an error or an abort that says so, and nothing else."""
    # Pools of dependencies panic where the system starts no thread; in the C ABI that is a status.
    no_thread = "failed to spawn thread" in text or "thread pool has not been initialized" in text
    if code == 1 or code == 101 and no_thread:
        return "error"
    expect(code == -signal.SIGABRT and "memory allocation of" in text, case)
    return "abort"


def memory_of_host(place, rows):
    """The same for a program that uses the C ABI: it opens engines, encodes and injects from two threads."""
    if place.options.host is None:
        return
    photos = [str(path) for path in sorted(place.options.photos.rglob("*.jpg"))[:2]]
    words = [str(place.options.model), str(place.folder), "50", "8", "2", *photos]
    counts, steps = {"done": 0, "error": 0, "abort": 0}, 4 * place.options.steps
    low, high = 24 << 20, 1 << 30
    for step in range(steps):
        most = int(low * (high / low) ** (step / (steps - 1)))

        def limit(most=most):
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        process = subprocess.Popen(
            [str(place.options.host), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=limit
        )
        text = process.communicate()[0].decode(errors="replace")
        case = f"host: address space of {most} bytes: {process.returncode}: {text}"
        if process.returncode == 0:
            counts["done"] += 1
        elif process.returncode == 127:
            continue  # The library does not fit.
        else:
            counts[without_memory(process.returncode, text, case)] += 1
    expect(counts["done"] and counts["error"] + counts["abort"], f"host: memory: {counts}")
    rows.append(
        [
            "out of memory, C ABI (open, encode, inject, save)",
            sum(counts.values()),
            f"{low / 1e6:.0f} MB to {high / 1e6:.0f} MB: {counts['done']} done and right, {counts['error']} with an "
            f"error, {counts['abort']} aborts with “memory allocation of … bytes failed”",
        ]
    )


def memory(place, rows):
    """Less and less address space; the program aborts or says so, and what is written is right."""
    low = least(place)
    fewest, more = 32 << 10, 512 << 20
    for saver in place.savers:
        folder = place.folder / "memory"
        folder.mkdir()
        shutil.copy(place.folder / saver.target, folder)
        steps = 2 * place.options.steps
        counts = {"done": 0, "error": 0, "abort": 0}
        for step in range(steps):
            most = low + int(fewest * (more / fewest) ** (step / (steps - 1)))
            held = place.version(saver, folder)

            def limit(most=most):
                resource.setrlimit(resource.RLIMIT_AS, (most, most))
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

            process = place.start(saver.command(1 - held, folder), preexec_fn=limit)
            text = process.communicate()[1].decode(errors="replace")
            case = f"{saver.name}: address space of {most} bytes: {process.returncode}: {text}"
            found = place.version(saver, folder)
            if process.returncode == 0:
                expect(found == 1 - held, case)
                counts["done"] += 1
                continue
            expect(found == held, case)
            counts[without_memory(process.returncode, text, case)] += 1
        expect(counts["done"], f"{saver.name}: memory: {counts}")
        rows.append(
            [
                f"out of memory, {saver.name}",
                steps,
                f"{low / 1e6:.0f} MB to load the program and up to {more / 1e6:.0f} MB more: {counts['done']} done and "
                f"right, {counts['error']} errors, {counts['abort']} aborts with "
                "“memory allocation of … bytes failed”; old file whole",
            ]
        )
        shutil.rmtree(folder)


PARTS = {
    "kills": kills,
    "training": kills_of_training,
    "disks": disks,
    "memory": memory,
    "host": memory_of_host,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--kills", type=int, default=20, help="kills of each saver (default 20)")
    parser.add_argument("--steps", type=int, default=6, help="sizes of disks and limits (default 6)")
    parser.add_argument("--host", type=Path, help="the program of soak.c")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=PARTS, action="append", help="some parts only")
    options = parser.parse_args()
    for name in ("program", "model", "photos", "host"):
        if getattr(options, name) is not None:
            setattr(options, name, getattr(options, name).resolve())
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        rows = []
        try:
            place = Place(options, Path(folder))
            for name in options.only or PARTS:
                PARTS[name](place, rows)
        except Wrong as wrong:
            print(f"faults: {wrong}", file=sys.stderr)
            return 1
        finally:
            print("| fault | tries | outcome |\n|---|---:|---|")
            for row in rows:
                print("| " + " | ".join(map(str, row)) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
