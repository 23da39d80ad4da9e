"""Writes a model of diffusers as an ONNX graph with identity inputs.

python -m omniid.onnx stable-diffusion-v1-5/ unet.onnx
python -m omniid.onnx flux/transformer/ flux.onnx --precision f16 --opset 17 --rows 1
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from .. import errors


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """The program; gives its exit status."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        if not options.output.parent.is_dir():
            raise errors.IoError(f"{options.output.parent}: no such folder")
        model = _load(options.model, options.precision)
        # Needs PyTorch, which _load asks for.
        from ._export import export

        manifest = export(
            model,
            options.output,
            opset=options.opset,
            precision=options.precision,
            mask=options.mask,
            adapter=options.adapter,
            form=options.form,
            checkpoint=options.checkpoint,
            rows=options.rows,
            size=options.size,
            text_tokens=options.text_tokens,
            tokens=options.identity_tokens,
            external=options.external,
            identity=not options.plain,
            progress=None if options.quiet else _Progress(),
        )
    except errors.OmniIdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"error: {error}; pip install omniid[onnx]", file=sys.stderr)
        return 1
    print(f"{options.output}: {_size(options.output)}, opset {options.opset}, {time.monotonic() - started:.0f} s")
    if manifest is not None:
        print(
            f"{options.output}.identity.json: host {manifest.host}, {len(manifest.layers)} layers, "
            f"{len(manifest.inputs)} identity inputs"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m omniid.onnx",
        description="Writes a UNet or transformer of diffusers as an ONNX graph whose attention layers take an "
        "identity, and the manifest that OmniID fills its inputs by.",
    )
    parser.add_argument(
        "model", type=Path, help="folder of a pipeline, or of its UNet or transformer, as diffusers saves"
    )
    parser.add_argument("output", type=Path, help="the graph to write, for instance unet.onnx")
    parser.add_argument(
        "--opset", type=int, default=15, help="14 to 20; default 15, as Unity's Inference Engine wants it"
    )
    parser.add_argument("--precision", choices=("f32", "f16"), default="f32", help="of weights, inputs and output")
    parser.add_argument(
        "--no-mask", dest="mask", action="store_false", help="without ip_mask: for one person in the whole picture"
    )
    parser.add_argument("--adapter", choices=("xlabs", "instantx"), help="which adapter of FLUX; default xlabs")
    parser.add_argument(
        "--tokens",
        dest="form",
        action="store_const",
        const="tokens",
        default="keys_values",
        help="the adapter in the graph, tokens as its input; default: keys and values as inputs",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="the adapter for --tokens; for SD3.5 InstantX' adapter, whose norms the graph has",
    )
    parser.add_argument("--rows", type=_natural, help="fixes the number of rows of the batch; default: any")
    parser.add_argument(
        "--size", type=_pair, metavar="HxW", help="fixes height and width of the latent picture, 64x64 for SD1.5 at 512"
    )
    parser.add_argument("--text-tokens", type=_natural, help="fixes the number of text tokens, 77 for SD1.5")
    parser.add_argument("--identity-tokens", type=_natural, help="fixes the number of identity tokens of all people")
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--external", action="store_true", default=None, help="weights in a file of their own, GRAPH.data"
    )
    group.add_argument("--inline", dest="external", action="store_false", help="weights in the graph: up to 2 GB")
    parser.add_argument("--plain", action="store_true", help="without identity inputs, to compare with")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


def _natural(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _pair(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    try:
        return _natural(height), _natural(width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 64x64") from None


def _load(folder: Path, precision: str) -> Any:
    """The model in a folder."""
    if (folder / "model_index.json").is_file():
        found = next(
            (folder / name for name in ("unet", "transformer") if (folder / name / "config.json").is_file()), None
        )
        if found is None:
            raise errors.UnsupportedError(f"{folder} is a pipeline without a unet and a transformer")
        folder = found
    config = folder / "config.json"
    try:
        name = json.loads(config.read_text(encoding="utf-8")).get("_class_name")
    except OSError as error:
        raise errors.IoError(
            f"{config}: {error.strerror}; the model must be a folder as diffusers saves it, not a single file"
        ) from error
    except (ValueError, AttributeError) as error:
        raise errors.FormatError(f"{config}: not the configuration of a model: {error}") from error
    import diffusers
    import torch

    kind = getattr(diffusers, str(name), None)
    if kind is None or not hasattr(kind, "from_pretrained"):
        raise errors.UnsupportedError(
            f"{config}: _class_name is {name!r}, which diffusers {diffusers.__version__} has not"
        )
    dtype = torch.float32 if precision == "f32" else torch.float16
    print(f"loading {folder}", file=sys.stderr)
    try:
        return kind.from_pretrained(folder, torch_dtype=dtype)
    except (OSError, ValueError) as error:
        raise errors.FormatError(f"{folder}: {error}") from error


def _size(path: Path) -> str:
    data = path.with_name(path.name + ".data")
    files = [path, *([data] if data.is_file() else [])]
    return " + ".join(f"{file.stat().st_size / 1e6:.1f} MB" for file in files)


class _Progress:
    """Lines on the terminal; where there is none, one for each part of the work."""

    def __init__(self) -> None:
        self._part, self._shown = "", -1

    def __call__(self, part: str, share: float) -> None:
        percent = int(100 * share)
        if part == self._part and percent == self._shown:
            return
        if sys.stderr.isatty():
            print(f"\r{part}: {percent} %", end="\n" if percent == 100 else "", file=sys.stderr, flush=True)
        elif part != self._part:
            print(part, file=sys.stderr, flush=True)
        self._part, self._shown = part, percent


if __name__ == "__main__":
    sys.exit(main())
