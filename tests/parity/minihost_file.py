"""Compares a whole minihost with diffusers: loads what the example `export_diffusers` wrote and prints the difference.

    cargo run --release -p omniid-minihost --example export_diffusers -- FOLDER [HOST.safetensors]
    python tests/parity/minihost_file.py FOLDER

Needs Python with torch, diffusers and safetensors. Fails above 1e-4.
"""

import sys
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

LIMIT = 1e-4


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    check = load_file(folder / "check.safetensors")
    expected = check.pop("output")
    with torch.no_grad():
        found = unet(**check).sample
    difference = (found - expected).abs().max().item()
    amplitude = expected.abs().max().item()
    parameters = sum(parameter.numel() for parameter in unet.parameters())
    print(
        f"{parameters / 1e6:.1f} M parameters: largest difference {difference:.2e} at an amplitude of {amplitude:.2f}"
    )
    if not difference <= LIMIT:
        sys.exit(f"above the limit of {LIMIT}")


if __name__ == "__main__":
    main()
