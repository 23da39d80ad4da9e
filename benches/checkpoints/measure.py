"""Runs the commands of docs/checkpoints.md and measures time and memory of each model on it, with random weights of the
published shapes. `run.sh` starts it; see README.md.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import weights

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "checkpoints.md"
MIB = 1 << 20

R50, R100 = {"face_recogniser": "w600k_r50.onnx"}, {"face_recogniser": "glintr100.onnx"}
VIT_H, BIG_G = {"image_encoder": "image_encoder"}, {"image_encoder": "image_encoder_bigG"}
EVA = {"image_encoder": "EVA02_CLIP_L_336_psz14_s6B.pt", "face_parser": "parsing_bisenet.pth"}
SIGLIP = {"image_encoder": "siglip-so400m-patch14-384"}
#: A row of the page's table: name, host, adapter file, what it needs besides.
ROWS = [
    ("IP-Adapter", "SD1.5", "ip-adapter_sd15.safetensors", VIT_H),
    ("IP-Adapter, ViT-bigG", "SDXL", "ip-adapter_sdxl.safetensors", BIG_G),
    ("Plus-Face", "SD1.5", "ip-adapter-plus-face_sd15.safetensors", VIT_H),
    ("Plus", "SDXL", "ip-adapter-plus_sdxl_vit-h.safetensors", VIT_H),
    ("full-face", "SD1.5", "ip-adapter-full-face_sd15.safetensors", VIT_H),
    ("FaceID", "SD1.5", "ip-adapter-faceid_sd15.bin", R50),
    ("FaceID-PlusV2", "SD1.5", "ip-adapter-faceid-plusv2_sd15.bin", VIT_H | R50),
    ("FaceID-PlusV2", "SDXL", "ip-adapter-faceid-plusv2_sdxl.bin", VIT_H | R50),
    ("FaceID-Portrait", "SD1.5", "ip-adapter-faceid-portrait_sd15.bin", R50),
    ("InstantID", "SDXL", "InstantID/ip-adapter.bin", R100),
    ("PuLID v1", "SDXL", "pulid_v1.bin", EVA | R100),
    ("PuLID v1.1", "SDXL", "pulid_v1.1.safetensors", EVA | R100),
    ("PuLID for FLUX", "FLUX.1", "pulid_flux_v0.9.1.safetensors", EVA | R100),
    ("XLabs", "FLUX.1", "flux-ip-adapter/ip_adapter.safetensors", {"image_encoder": "clip-vit-large-patch14"}),
    ("InstantX", "FLUX.1", "FLUX.1-dev-IP-Adapter/ip-adapter.bin", SIGLIP),
    ("InstantX", "SD3.5 Large", "SD3.5-Large-IP-Adapter/ip-adapter.bin", SIGLIP),
    ("WithAnyone", "FLUX.1", "withanyone.safetensors", {"image_encoder": "siglip-base-patch16-256-i18n"} | R100),
]


class Files:
    """The files in a folder, made when they are needed first and deleted after their last use."""

    def __init__(self, folder, uses):
        self.folder, self.left = folder, list(uses)

    def need(self, names):
        for name in names:
            if not (self.folder / name).exists():
                run([sys.executable, Path(__file__).with_name("weights.py"), self.folder, name], self.folder)

    def done(self, names):
        self.left.pop(0)
        for name in names:
            if not any(name in later for later in self.left):
                path = self.folder / name
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def run(command, folder):
    """Seconds, peak memory in bytes, and output of a process; ends this program if it fails."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        output.seek(0)
        text = output.read().decode(errors="replace")
    if status != 0:
        sys.exit(f"{shlex.join(map(str, command))}\nfailed with status {os.waitstatus_to_exitcode(status)}:\n{text}")
    return seconds, usage.ru_maxrss * 1024, text


def page_commands():
    """The command lines of the page, without comments, with continued lines joined."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if shlex.split(line, comments=True)]


def commands(folder, program):
    """Runs every command line of the page as it stands there."""
    person = ROOT / "examples" / "photos" / "person-1"
    shutil.copytree(person, folder / "anna")
    for name in ("anna.jpg", "style.jpg"):
        shutil.copy(person / "01.jpg", folder / name)
    found = page_commands()
    known = [*weights.ADAPTERS, *weights.NETWORKS]
    uses = [[name for name in known if any(word.rstrip("/") == name for word in command)] for command in found]
    files = Files(folder, uses)
    print("| command | time | peak memory |\n|---|---|---|")
    for command, names in zip(found, uses):
        files.need(names)
        words = [program if command[0] == "omniid" else command[0], *command[1:]]
        output = folder / command[command.index("-o") + 1] if "-o" in command else None
        if output and output.exists():
            output.unlink()
        seconds, peak, _ = run(words, folder)
        if output and not output.stat().st_size:
            sys.exit(f"{shlex.join(command)} wrote nothing")
        print(f"| `{shlex.join(command)}` | {seconds:.1f} s | {peak / MIB:,.0f} MiB |", flush=True)
        files.done(names)


def table(folder, only):
    """Measures every row."""
    rows = [row for row in ROWS if not only or only.lower() in f"{row[0]} {row[1]}".lower()]
    uses = [[file, *needs.values()] for _, _, file, needs in rows]
    files = Files(folder, uses)
    print(
        "| adapter | host | open | a photo | condition | peak memory | keys and values |\n|---|---|---|---|---|---|---|"
    )
    for (name, host, file, needs), names in zip(rows, uses):
        files.need(names)
        options = {"path": file, **needs}
        script = [sys.executable, __file__, "one", json.dumps(options)]
        _, peak, text = run(script, folder)
        found = json.loads(text.splitlines()[-1])
        times = " | ".join(f"{found[part]:.2f} s" for part in ("open", "photo", "condition"))
        held = found["bytes"] / MIB
        print(f"| {name} | {host} | {times} | {peak / MIB / 1024:.1f} GiB | {held:.1f} MiB |", flush=True)
        files.done(names)


def one(options):
    """In a process of its own: opens a model, encodes a photo, conditions on it."""
    import omniid

    path = options.pop("path")
    steps = {"timesteps": [1000.0]} if path.startswith("SD3.5") else {}
    times = {}

    def timed(name, function):
        begin = time.perf_counter()
        result = function()
        times[name] = time.perf_counter() - begin
        return result

    engine = timed("open", lambda: omniid.Engine.open(path, **options))
    photo = ROOT / "examples" / "photos" / "person-1" / "01.jpg"
    identity = timed("photo", lambda: engine.encode([photo]).identity)
    conditioning = timed("condition", lambda: engine.condition(identity, **steps))
    print(json.dumps(times | {"bytes": conditioning.byte_size}))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("commands", "table", "one"))
    parser.add_argument("options", nargs="?", help="table: measure only rows with this in their name")
    parser.add_argument("--folder", type=Path, help="where the files are written, 8 GB (default: a temporary folder)")
    parser.add_argument("--program", default=ROOT / "target" / "release" / "omniid", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "one":
        one(json.loads(arguments.options))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.what == "commands":
            commands(Path(folder), arguments.program.resolve())
        else:
            table(Path(folder), arguments.options)


if __name__ == "__main__":
    main()
