"""Writes tests/fixtures/preprocess: small pictures, and what Pillow and transformers make of them.

    python tests/parity/preprocess.py [--seed N] [--out FOLDER]

Needs Pillow, numpy, transformers and safetensors. Every expected value comes from those packages.
"""

import argparse
import pathlib

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

# Odd shapes: square, tall, wide, smaller than the target, very tall, already the right size.
SHAPES = [(37, 37), (61, 97), (113, 50), (20, 15), (9, 64), (32, 32), (60, 32), (21, 80)]
CLIP_SIZE = 32
RESIZES = [(23, 19), (57, 41), (41, 20), (5, 47)]
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
EXIF_ORIENTATION = 0x0112


def picture(rng, width, height):
    """Smooth colour, hard edges and noise: what tells resampling filters apart."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    out = np.stack([127 + 120 * np.sin(x / rng.uniform(2, 9) + y / rng.uniform(3, 9) + c) for c in range(3)], axis=-1)
    out[height // 3 : height // 2, : width // 2] = rng.integers(0, 2, 3) * 255
    noise = rng.integers(0, 256, out.shape)
    out = np.where(((x + y) % 17 < 5)[..., None], noise, out)
    return np.clip(out, 0, 255).astype(np.uint8)


def clip_processor():
    try:
        from transformers import CLIPImageProcessorPil as Processor
    except ImportError:
        from transformers import CLIPImageProcessor as Processor
    return Processor(size={"shortest_edge": CLIP_SIZE}, crop_size={"height": CLIP_SIZE, "width": CLIP_SIZE})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=20240229)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "fixtures/preprocess")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    processor = clip_processor()

    clip, resized = {}, {}
    for index, (width, height) in enumerate(SHAPES):
        pixels = picture(rng, width, height)
        image = Image.fromarray(pixels)
        clip[f"input.{index}"] = pixels
        clip[f"expected.{index}"] = np.asarray(processor(image, return_tensors="np")["pixel_values"][0], np.float32)
    pixels = picture(rng, 41, 57)
    image = Image.fromarray(pixels)
    plane = rng.normal(size=(19, 27)).astype(np.float32)
    resized["input"] = pixels
    resized["plane"] = plane
    for width, height in RESIZES:
        for name, filter in FILTERS.items():
            resized[f"{name}.{width}x{height}"] = np.asarray(image.resize((width, height), filter))
            resized[f"plane.{name}.{width}x{height}"] = np.asarray(
                Image.fromarray(plane).resize((width, height), filter)
            )
    save_file(clip, options.out / "clip.safetensors")
    save_file(resized, options.out / "resize.safetensors")

    # Eight corners of one picture, stored turned so that each EXIF orientation must give the same upright picture.
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = (200, 30, 30)
    upright[:16, 24:] = (30, 200, 30)
    upright[16:, :24] = (30, 30, 200)
    upright[16:, 24:] = (220, 220, 40)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    from PIL import ImageOps

    for orientation, pixels in stored.items():
        image = Image.fromarray(np.ascontiguousarray(pixels))
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        for extension, extra in (("jpg", {"quality": 95, "subsampling": 0}), ("png", {}), ("webp", {"lossless": True})):
            path = options.out / f"orientation-{orientation}.{extension}"
            image.save(path, exif=exif, **extra)
            turned = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"), np.int32)
            assert np.abs(turned - upright).max() <= 40, f"Pillow disagrees about {path}"

    # Every sample format that cameras and scanners write, beside what Pillow's convert("RGB") makes of it.
    pixels = picture(rng, 24, 18)
    grey = pixels[..., 0]
    alpha = np.concatenate([pixels, rng.integers(0, 256, pixels.shape[:2] + (1,), np.uint8)], axis=-1)
    variants = {
        "grey.png": Image.fromarray(grey),
        "grey-alpha.png": Image.fromarray(np.stack([grey, alpha[..., 3]], -1), "LA"),
        "rgba.png": Image.fromarray(alpha),
        "palette.png": Image.fromarray(pixels).quantize(16),
        "rgba.webp": Image.fromarray(alpha),
        "rgb.bmp": Image.fromarray(pixels),
        "rgb.tiff": Image.fromarray(pixels),
        "rgba.tiff": Image.fromarray(alpha),
        "bilevel.tiff": Image.fromarray(grey).convert("1"),
    }
    expected = {}
    for name, image in variants.items():
        image.save(options.out / name, **({"lossless": True, "exact": True} if name.endswith("webp") else {}))
        expected[name] = np.asarray(Image.open(options.out / name).convert("RGB"))
    # Pillow cuts 16-bit samples off instead of scaling them: here the scaled picture is the truth.
    deep = rng.integers(0, 65536, (18, 24), np.uint16)
    Image.fromarray(deep).save(options.out / "grey16.png")
    Image.fromarray(deep).save(options.out / "grey16.tiff")
    scaled = np.rint(deep / 257.0).astype(np.uint8)
    for name in ("grey16.png", "grey16.tiff"):
        expected[name] = np.repeat(scaled[..., None], 3, axis=-1)
    # Animations: the first picture counts.
    first, second = Image.fromarray(pixels), Image.fromarray(255 - pixels)
    for name, extra in (("animated.png", {}), ("animated.webp", {"lossless": True}), ("pages.tiff", {})):
        first.save(options.out / name, save_all=True, append_images=[second], **extra)
        expected[name] = pixels
    save_file(
        {name: np.ascontiguousarray(value) for name, value in expected.items()}, options.out / "decoded.safetensors"
    )
    total = sum(path.stat().st_size for path in options.out.iterdir())
    print(f"{len(list(options.out.iterdir()))} files, {total} bytes in {options.out}")


if __name__ == "__main__":
    main()
