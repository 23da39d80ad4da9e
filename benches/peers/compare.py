"""Times OmniID beside its peers on the same weights in the same run, and prints ratios. See README.md."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CONTENDER = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "examples" / "contender"
PHOTOS = sorted((ROOT / "examples" / "photos" / "person-1").glob("*.jpg"))[:3]


def lossless_photos(folder):
    """The photos as PNG: JPEG decoders differ by a level or two, which would show in the tokens."""
    from PIL import Image

    paths = []
    for photo in PHOTOS:
        path = folder / f"{photo.stem}.png"
        Image.open(photo).convert("RGB").save(path)
        paths.append(path)
    return paths


# Cross-attention layers of one denoising step: (how many, width, heads, context width, latent tokens).
HOSTS = {
    "sd15": {
        "title": "SD1.5 at 512×512",
        "groups": [(5, 320, 8, 768, 4096), (5, 640, 8, 768, 1024), (5, 1280, 8, 768, 256), (1, 1280, 8, 768, 64)],
    },
    "sdxl": {
        "title": "SDXL at 1024×1024",
        "groups": [(10, 640, 10, 2048, 4096), (60, 1280, 20, 2048, 1024)],
    },
}


#: OmniID's number types; the first is what the others are compared with.
PRECISIONS = ("f32", "bf16", "int8")

#: By how much the weights are smaller than in f32.
DIVISORS = {"f32": 1, "float32": 1, "bf16": 2, "bfloat16": 2, "int8": 4}


class Contender:
    """A process that computes one round per request."""

    def __init__(self, name, command, environment=None):
        self.name = name
        self.seconds = []
        self.peak_bytes = 0
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.facts = self._answer()

    def _answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{self.name} ended with status {self.process.wait()} before it answered")

    def round(self, counts=True):
        self.process.stdin.write("round\n")
        self.process.stdin.flush()
        answer = self._answer()
        if counts:
            self.seconds.append(answer["seconds"])
        self.peak_bytes = answer.get("peak_bytes", 0)

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def spread(self):
        return (max(self.seconds) - min(self.seconds)) / self.median


def race(contenders, rounds, pause=0.0, warm_up=0):
    """Alternates the contenders' rounds, each after a pause of so many seconds and some rounds that do not count."""
    for _ in range(rounds):
        for contender in contenders:
            time.sleep(pause)
            for _ in range(warm_up):
                contender.round(counts=False)
            contender.round()
    for contender in contenders:
        contender.close()


def python(task, *arguments):
    return [sys.executable, HERE / "contender.py", task, *arguments]


#: What holds every contender down to an instruction set.
WITHOUT_AVX512 = {
    "OMNIID_ISA": "avx2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


def measured_peak(threads):
    """Fused multiply-add rate of the machine in GFLOP/s, with the instructions that are allowed."""
    output = subprocess.run([CONTENDER, "peak", "--threads", str(threads)], check=True, capture_output=True, text=True)
    return json.loads(output.stdout)["gflops"]


def encode(options, peak):
    from weights import FLOP_PER_PHOTO, export_onnx, encoder_flop, make_weights

    print("\n## Encode: ViT-H/14 and Omni-ID 256 × 1280, seconds per call\n")
    folder = Path(options.folder or tempfile.mkdtemp(prefix="omniid-peers-"))
    weights = folder / "omniid.safetensors"
    if not weights.exists():
        make_weights(weights)
    weight_bytes = weights.stat().st_size
    threads = ["--threads", options.threads]
    all_photos = lossless_photos(folder)
    print(f"weights {weight_bytes / 1e9:.2f} GB in f32\n")
    print("| photos | contender | median s | spread | × PyTorch f32, or the first | peak memory GB | peak ÷ weights | of peak |")
    print("|---|---|---|---|---|---|---|---|")
    for count in (1, 3):
        photos = all_photos[:count]
        contenders = []

        def enter(name, command, photos=photos, contenders=contenders):
            if not options.only or any(name.startswith(begin) for begin in options.only):
                contenders.append(Contender(name, [*command, "--photos", *photos]))

        saved = folder / f"torch-{count}.safetensors"
        for precision in PRECISIONS:
            name = f"OmniID {precision}"
            command = [CONTENDER, "encode", "--checkpoint", weights, "--precision", precision, *threads]
            command += ["--save", folder / f"omniid-{precision}-{count}.safetensors"]
            enter(name, command)
        for dtype in ("float32", "bfloat16"):
            command = python("torch-encode", "--weights", weights, "--dtype", dtype, *threads)
            if dtype == "float32":
                command += ["--save", saved]
            enter(f"PyTorch {dtype}", command)
        onnx = folder / f"model-{count}.onnx"
        if options.onnx:
            if not onnx.exists():
                export_onnx(weights, count, onnx)
            enter("ONNX Runtime f32", python("ort-encode", "--weights", onnx, *threads))
        # As with the faces: idle threads of the peers go on spinning for a while, on the cores that the next round needs.
        race(contenders, options.rounds, pause=0.25)
        reference = next((c for c in contenders if c.name == "PyTorch float32"), contenders[0]).median
        gflop = (FLOP_PER_PHOTO * count + encoder_flop(count)) / 1e9
        for contender in contenders:
            size = weight_bytes / DIVISORS[contender.name.split()[-1]]
            print(
                f"| {count} | {contender.name} | {contender.median:.3f} | {contender.spread:.0%} "
                f"| {contender.median / reference:.2f} | {contender.peak_bytes / 1e9:.2f} "
                f"| {contender.peak_bytes / size:.2f} | {gflop / contender.median / peak:.0%} |"
            )
        print_difference(folder, count, saved)


def print_difference(folder, count, theirs):
    """How far the tokens of each precision are from those of f32."""
    from safetensors.torch import load_file
    from torch.nn.functional import cosine_similarity

    files = {precision: folder / f"omniid-{precision}-{count}.safetensors" for precision in PRECISIONS}
    tokens = {name: load_file(file)["tokens"].double() for name, file in files.items() if file.exists()}
    own = tokens.pop("f32", None)
    if own is None:
        return
    if theirs.exists():
        difference = (own - load_file(theirs)["tokens"].reshape(own.shape)).abs().max()
        print(f"\nlargest difference of tokens, OmniID f32 and PyTorch f32: {difference:.1e}")
    for precision in tokens:
        cosine = cosine_similarity(own, tokens[precision], dim=-1)
        print(f"cosine of a token, {precision} and f32: least {cosine.min():.5f}, mean {cosine.mean():.6f}")
    print()


def inject(options, peak):
    print("\n## Inject: the identity part of one denoising step, batch 2, 256 tokens, milliseconds\n")
    print("| host | type | OmniID | spread | diffusers | spread | ratio | lowest to highest | OmniID GFLOP/s | of f32 peak |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    dtypes = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
    for host in options.host:
        layers = [
            {"inner": inner, "heads": heads, "context": context, "rows": rows}
            for count, inner, heads, context, rows in HOSTS[host]["groups"]
            for _ in range(count)
        ]
        gflop = sum(4 * 2 * layer["rows"] * 256 * layer["inner"] for layer in layers) / 1e9
        table = json.dumps(layers)
        for precision in options.type:
            dtype = dtypes[precision]
            common = ["--layers", table, "--threads", options.threads]
            ours = Contender("OmniID", [CONTENDER, "inject", "--precision", precision, *common])
            theirs = Contender("diffusers", python("diffusers-inject", "--dtype", dtype, "--identity", *common))
            text = Contender("diffusers without identity", python("diffusers-inject", "--dtype", dtype, *common))
            # As with the faces: PyTorch's threads spin for a while, on the cores that the next round needs.
            race([ours, theirs, text], options.rounds, pause=0.25, warm_up=1)
            parts = [a - b for a, b in zip(theirs.seconds, text.seconds)]
            identity = statistics.median(parts)
            # Each round with its own neighbours: what slows the machine slows all of them.
            ratios = sorted(own / part for own, part in zip(ours.seconds, parts))
            print(
                f"| {HOSTS[host]['title']} | {precision} | {ours.median * 1e3:.1f} | {ours.spread:.0%} "
                f"| {identity * 1e3:.1f} | {(max(parts) - min(parts)) / identity:.0%} "
                f"| {statistics.median(ratios):.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f} "
                f"| {gflop / ours.median:.0f} | {gflop / ours.median / peak:.0%} |",
                flush=True,
            )


#: Multiply-adds of a face through IResNet, in millions.
FACE_MULTIPLY_ADDS = {50: 6_310, 100: 12_130}


def embed(options, peak):
    sys.path.insert(0, str(ROOT / "tests" / "parity"))
    from cases.recogniser import full_width

    print("\n## Face embeddings: one face through IResNet, f32, milliseconds\n")
    folder = Path(options.folder or tempfile.mkdtemp(prefix="omniid-peers-"))
    if not (folder / "r100" / "model.onnx").exists():
        full_width(folder)
    print("| network | OmniID | spread | ONNX Runtime | spread | ratio | of f32 peak |")
    print("|---|---|---|---|---|---|---|")
    for layers, multiply_adds in FACE_MULTIPLY_ADDS.items():
        model = ["--weights", folder / f"r{layers}" / "model.onnx", "--threads", options.threads]
        ours = Contender("OmniID", [CONTENDER, "embed", *model])
        theirs = Contender("ONNX Runtime", python("ort-embed", *model))
        # Idle threads of ONNX Runtime go on spinning for a while, on the cores that the next round needs. After a pause,
        # Linux may wake two threads on one core and part them some 50 ms later; ONNX Runtime pins its threads.
        race([ours, theirs], 10 * options.rounds, pause=0.25, warm_up=3)
        ratio = statistics.median(a / b for a, b in zip(ours.seconds, theirs.seconds))
        print(
            f"| R{layers} | {ours.median * 1e3:.1f} | {ours.spread:.0%} | {theirs.median * 1e3:.1f} | {theirs.spread:.0%} "
            f"| {ratio:.2f} | {2e-3 * multiply_adds / ours.median / peak:.0%} |"
        )


#: Multiply-adds of a photo through EVA02-CLIP-L/14-336 and IDFormer, in billions.
PULID_MULTIPLY_ADDS = 205


def pulid(options, peak):
    print("\n## PuLID: one photo through EVA02-CLIP-L/14-336 and IDFormer, f32, random weights\n")
    print("| | seconds | spread | ratio | peak memory, GB | of f32 peak |")
    print("|---|---|---|---|---|---|")
    ours = Contender("OmniID", [CONTENDER, "pulid", "--threads", options.threads])
    theirs = Contender("PyTorch", python("torch-pulid", "--threads", options.threads))
    race([ours, theirs], options.rounds)
    for contender in (ours, theirs):
        print(
            f"| {contender.name} | {contender.median:.2f} | {contender.spread:.0%} "
            f"| {contender.median / theirs.median:.2f} | {contender.peak_bytes / 1e9:.2f} "
            f"| {2 * PULID_MULTIPLY_ADDS / contender.median / peak:.0%} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["encode", "inject", "embed", "pulid", "all"], default="all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--host", action="append", choices=list(HOSTS), help="default: all")
    parser.add_argument("--type", action="append", choices=["f32", "bf16", "f16"], help="inject; default: f32 and bf16")
    parser.add_argument("--avx2", action="store_true", help="hold every contender down to AVX2")
    parser.add_argument("--folder", help="keep weights here and use them again")
    parser.add_argument("--only", nargs="+", help="encode: those whose names begin so; all at once need 27 GB of memory")
    parser.add_argument("--no-onnx", dest="onnx", action="store_false", help="leave ONNX Runtime out")
    options = parser.parse_args()
    options.host = options.host or list(HOSTS)
    options.type = options.type or ["f32", "bf16"]
    if options.avx2:
        os.environ.update(WITHOUT_AVX512)
    options.threads = str(options.threads)
    peak = measured_peak(options.threads)
    instructions = " without AVX-512" if options.avx2 else ""
    print(f"{platform.machine()}{instructions}, {options.threads} threads, measured f32 peak {peak:.0f} GFLOP/s")
    if options.what in ("encode", "all"):
        encode(options, peak)
    if options.what in ("inject", "all"):
        inject(options, peak)
    if options.what in ("embed", "all"):
        embed(options, peak)
    if options.what in ("pulid", "all"):
        pulid(options, peak)


if __name__ == "__main__":
    main()
