"""A trained checkpoint in other forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from .. import errors
from .checkpoint import read_file, write_file


def export(path: str, out: Path, form: str) -> None:
    """Writes a native checkpoint as `f16` or `bf16`, or its adapter as `ip-adapter`: the full-face file
    (`image_proj.proj.…`, `ip_adapter.{key}.to_k_ip.weight`) that unmodified diffusers and ComfyUI load, whose image
    embeddings are the identity's tokens. Raises UnsupportedError, FormatError, IoError."""
    config, tensors = read_file(path)
    if form == "ip-adapter":
        write_file(out, save({name: tensor.contiguous() for name, tensor in _full_face(path, config, tensors).items()}))
        return
    import json

    dtype = {"f16": torch.float16, "bf16": torch.bfloat16}[form]
    halved = {name: (t.to(dtype) if t.is_floating_point() else t).contiguous() for name, t in tensors.items()}
    write_file(out, save(halved, {"omniid.format": "1", "omniid.config": json.dumps(config)}))


def _full_face(path: str, config: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    host = config.get("host")
    if host is None:
        raise errors.UnsupportedError(f"{path} has no adapter; stage 2 makes one")
    if "adapter.proj.0.weight" not in tensors:
        raise errors.UnsupportedError(f"{path}: its adapter has no projection, which the full-face file needs")
    count = len({name.split(".")[2] for name in tensors if name.startswith("adapter.layers.")})
    if isinstance(host, str):
        # IP-Adapter numbers a UNet's attention layers, self-attention included.
        keys = [2 * place + 1 for place in range(count)] if host in ("sd15", "sdxl") else list(range(count))
    else:
        keys = [layer["key"] for layer in host["layers"]]
    found = {}
    for name, tensor in tensors.items():
        if name.startswith("adapter.proj."):
            found[f"image_proj.{name.removeprefix('adapter.')}"] = tensor
        elif name.startswith("adapter.layers."):
            place, side = name.split(".")[2:4]
            found[f"ip_adapter.{keys[int(place)]}.{side}_ip.weight"] = tensor
    return found
