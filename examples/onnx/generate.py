"""Draws a person in eight views with ONNX Runtime: photos in, a contact sheet out.

    python examples/onnx/generate.py generator/ sheet.png examples/photos/person-1/*.jpg [--separate FOLDER]

The pictures are those of `omniid generate` with its defaults. `generator/` is what `export.py` wrote. Needs omniid,
onnxruntime, NumPy and Pillow; no PyTorch.
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
from omniid import Engine
from omniid.onnx import Manifest, fill
from PIL import Image

STEPS = 4
GUIDANCE = 1.25
COLUMNS = 4
SCALE = 2  # of the small pictures on the sheet


def draw(session, manifest, conditioning, views, noise):
    """The pictures `[views, 3, size, size]`, −1 to 1: Euler steps from noise to picture."""
    count = len(views)
    # Conditional rows, then unconditional ones.
    identity = fill(
        conditioning,
        manifest,
        roles=["conditional"] * count + ["unconditional"] * count,
    )
    kind = np.float16 if manifest.precision == "f16" else np.float32
    x = np.repeat(noise, count, axis=0)
    for step in range(STEPS):
        time, after = step / STEPS, (step + 1) / STEPS
        own = {
            "picture": np.concatenate([x, x]).astype(kind),
            "time": np.full(2 * count, time, dtype=np.float32),
            "view": np.concatenate([views, views]).astype(kind),
        }
        (clean,) = session.run(["clean"], {**own, **identity})
        person, nobody = clean.astype(np.float32).reshape(2, *x.shape)
        guided = nobody + (person - nobody) * np.float32(GUIDANCE)
        velocity = (guided - x) * np.float32(1 / (1 - time))
        x = x + velocity * np.float32(after - time)
    return x


def pixels(pictures):
    """The pictures as bytes `[views, size, size, 3]`."""
    return (
        np.clip(np.round((pictures + 1) * 127.5), 0, 255)
        .astype(np.uint8)
        .transpose(0, 2, 3, 1)
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("generator", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument(
        "--separate",
        type=Path,
        metavar="FOLDER",
        help="also writes each picture, in its own size",
    )
    options = parser.parse_args()

    session = onnxruntime.InferenceSession(str(options.generator / "generator.onnx"))
    manifest = Manifest.load(options.generator / "generator.onnx")
    manifest.check_graph(session.get_inputs())
    size = next(
        item.shape[2] for item in session.get_inputs() if item.name == "picture"
    )
    noise = np.fromfile(options.generator / "noise.f32", dtype="<f4").reshape(
        1, 3, size, size
    )
    names = (
        (options.generator / "views.txt").read_text(encoding="utf-8").split("\n")[:-1]
    )
    views = np.fromfile(options.generator / "views.f32", dtype="<f4").reshape(
        len(names), -1
    )

    with Engine.open() as engine:
        identity, reports = engine.encode(options.photos)
        for path, report in zip(options.photos, reports):
            print(f"{path}: {'used' if report.used else report.reason}")
        pictures = pixels(
            draw(session, manifest, engine.condition(identity), views, noise)
        )

    side = SCALE * size
    rows = -(-len(names) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * side, rows * side))
    for place, picture in enumerate(pictures):
        large = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
        sheet.paste(large, (place % COLUMNS * side, place // COLUMNS * side))
    sheet.save(options.sheet)
    if options.separate:
        options.separate.mkdir(parents=True, exist_ok=True)
        for place, (name, picture) in enumerate(zip(names, pictures), 1):
            Image.fromarray(picture).save(
                options.separate / f"{place:02}-{name.replace(' ', '-')}.png"
            )
    print(f"{options.sheet}: {', '.join(names)}")


if __name__ == "__main__":
    main()
