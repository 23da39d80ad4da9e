"""Writes the built-in generator as an ONNX graph with identity inputs, for the programs beside this one.

    python examples/onnx/export.py [FOLDER] [--opset 15] [--precision f32]

The graph `generator.onnx` takes noisy pictures, times and views, and gives the pictures without noise. Beside it lie
its manifest, the noise and the views of `omniid generate`. Needs PyTorch, diffusers, safetensors, onnx and omniid.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from omniid.onnx import Input, Wrapper, export
from safetensors import safe_open

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parents[1] / "models" / "minihost-mini.safetensors"
VIEW = 46  # numbers that describe a view


class Generator(torch.nn.Module):
    """The generator around its UNet: pixels become channels, views become context tokens, class and map."""

    def __init__(self, config, weights):
        super().__init__()
        self.block, self.size = config["block"], config["size"]
        self.unet = UNet2DConditionModel.from_config(config["unet"])
        wide, hidden = config["unet"]["cross_attention_dim"], config["context_hidden"]
        places = (self.size // self.block) ** 2
        self.tokens, self.width, self.channels = (
            config["context_tokens"],
            wide,
            config["map_channels"],
        )
        self.context = two_layers(hidden, self.tokens * wide)
        self.map = two_layers(hidden, places * self.channels)
        parts = {"context.map.": self.map, "context.": self.context, "": self.unet}
        split = {prefix: {} for prefix in parts}
        for name, tensor in weights.items():
            prefix = next(prefix for prefix in parts if name.startswith(prefix))
            split[prefix][name.removeprefix(prefix)] = tensor.float()
        for prefix, part in parts.items():
            part.load_state_dict(split[prefix])

    def forward(self, picture, time, view):
        """`[rows, 3, size, size]`, −1 to 1; `[rows]`, 0 to 1; `[rows, 46]`. Gives pictures."""
        side = self.size // self.block
        # Sizes are written out where they can be: what the exporter computes, runtimes have to compute, too.
        context = self.context(view).reshape(-1, self.tokens, self.width)
        places = (
            self.map(view).reshape(-1, side, side, self.channels).permute(0, 3, 1, 2)
        )
        pixels = torch.nn.functional.pixel_unshuffle(picture, self.block)
        sample = torch.cat([pixels, places], dim=1)
        clean = self.unet(
            sample, time * 1000.0, context, class_labels=view, return_dict=False
        )[0]
        return torch.nn.functional.pixel_shuffle(clean, self.block)


def two_layers(hidden, outputs):
    return torch.nn.Sequential(
        torch.nn.Linear(VIEW, hidden), torch.nn.SiLU(), torch.nn.Linear(hidden, outputs)
    )


def load(path=WEIGHTS):
    """The generator in a file of `omniid train` or the built-in one."""
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["omniid.minihost.config"])
        if config["prediction"] != "sample":
            raise SystemExit(
                f"{path}: predicts {config['prediction']}; the programs here expect pictures"
            )
        return Generator(
            config, {name: file.get_tensor(name) for name in file.keys()}
        ).eval()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path("generator"))
    parser.add_argument("--opset", type=int, default=15)
    parser.add_argument("--precision", choices=("f32", "f16"), default="f32")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    generator = load()
    kind = torch.float32 if options.precision == "f32" else torch.float16
    rows = {0: "rows"}
    inputs = (
        Input(
            "picture",
            torch.randn(2, 3, generator.size, generator.size, dtype=kind),
            rows,
        ),
        Input("time", torch.tensor([0.25, 0.5]), rows),
        Input("view", torch.randn(2, VIEW, dtype=kind), rows),
    )
    manifest = export(
        generator.unet,
        options.folder / "generator.onnx",
        opset=options.opset,
        precision=options.precision,
        wrapper=Wrapper(generator, inputs, "clean", rows),
    )
    for file in sorted((HERE / "start").iterdir()):
        shutil.copy(file, options.folder)
    print(
        f"{options.folder}: generator.onnx with {len(manifest.inputs)} identity inputs; noise and views"
    )


if __name__ == "__main__":
    main()
