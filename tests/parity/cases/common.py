"""Helpers shared by the areas."""

import copy
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


# What the weights are rounded to.
PRECISIONS = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def rounded(tensor, dtype):
    """A floating-point tensor rounded to values of `dtype`, as f32."""
    return tensor.to(dtype).float() if tensor.is_floating_point() else tensor


def rounded_copy(module, dtype):
    """A copy of `module` whose weights are rounded to values of `dtype`; it still computes in f32."""
    module = copy.deepcopy(module)
    with torch.no_grad():
        # What a file holds; tables that a model makes by itself stay as they are.
        for tensor in module.state_dict().values():
            tensor.copy_(rounded(tensor, dtype))
    return module


def save_expected(folder, compute, inputs, name="expected"):
    """`inputs` and what `compute(dtype)` gives with weights rounded to `dtype`: `{name}.safetensors` for f32 weights,
    and beside it `{name}.f16.safetensors` and `{name}.bf16.safetensors`, without the inputs."""
    for suffix, dtype in PRECISIONS.items():
        with torch.no_grad():
            outputs = compute(dtype)
        if dtype == torch.float32:
            save(folder / f"{name}.safetensors", inputs | outputs)
        else:
            save(folder / f"{name}.{suffix}.safetensors", outputs)


def save(path, tensors, metadata=None):
    """A safetensors file of contiguous copies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}, path, metadata)
