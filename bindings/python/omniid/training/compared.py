"""Files of adapters for encoders that ours is compared with. They are read by `evaluate` alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional

import safetensors
import torch
from safetensors.torch import save
from torch import nn

from .. import errors
from .checkpoint import write_file
from .config import RunConfig

_KEY = "omniid.training.model"


def save_compared(path: Path, config: RunConfig, identity: nn.Module, adapter: Optional[nn.Module]) -> None:
    """Writes what a run has trained. Raises IoError."""
    trained = {
        f"{part}.{name}": p.detach().cpu().contiguous()
        for part, module in (("identity", identity), ("adapter", adapter))
        if module is not None
        for name, p in module.named_parameters()
        if p.requires_grad
    }
    write_file(path, save(trained, {_KEY: json.dumps(config.to_json()["model"])}))


def is_compared(path: Path) -> bool:
    """Whether a file is one of these."""
    return _KEY in _metadata(path)


@torch.no_grad()
def load_compared(path: Path, config: RunConfig, objective: nn.Module) -> None:
    """Takes the weights of a file. Raises MismatchError for the file of another encoder, or of one of another size."""
    written, own = json.loads(_metadata(path)[_KEY]), json.loads(json.dumps(config.to_json()["model"]))
    if written["encoder"] != own["encoder"]:
        raise errors.MismatchError(f"{path} is for encoder {written['encoder']!r}, the run for {own['encoder']!r}")
    with safetensors.safe_open(str(path), "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    for name, parameter in objective.named_parameters():
        if name in tensors and tensors[name].shape != parameter.shape:
            raise errors.MismatchError(
                f"{path}: {name} has shape {list(tensors[name].shape)}, expected {list(parameter.shape)}: another "
                "recogniser or image encoder than it was trained with?"
            )
        if name in tensors:
            parameter.copy_(tensors[name])
        elif parameter.requires_grad:
            raise errors.FormatError(f"{path}: {name} is missing")


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            return dict(file.metadata() or {})
    except OSError as error:
        raise errors.IoError(f"{path}: {error}") from error
    except safetensors.SafetensorError as error:
        raise errors.FormatError(f"{path}: {error}") from error
