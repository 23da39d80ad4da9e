"""Helpers shared by the areas."""

import zlib

import torch
from safetensors.torch import save_file


def start(area, case, options):
    """Seeds torch for one case, so that adding or leaving out cases changes no other."""
    torch.manual_seed(options.seed * 1_000_003 + zlib.crc32(f"{area}/{case}".encode()))


def randomise(module):
    """Random values for every parameter, of a size that keeps activations near 1 and makes every tensor matter."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            values = torch.randn_like(parameter)
            is_norm = "norm" in name or ".ln" in name
            if parameter.dim() >= 2:
                parameter.copy_(values / parameter[0].numel() ** 0.5)
            elif is_norm and name.endswith("weight"):
                parameter.copy_(1 + 0.1 * values)
            else:
                parameter.copy_(0.1 * values)
    return module.eval()


def save(path, tensors, metadata=None):
    """A safetensors file of contiguous copies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path, metadata)
