"""Frozen hosts of stage 2."""

import torch

from ..config import HostConfig
from .base import Host, Prompt, View
from .injection import Injection
from .latent import latent_host, open_pipeline
from .minihost import MinihostHost
from .table import host_table

__all__ = ["Host", "Injection", "Prompt", "View", "host_table", "open_host"]


def open_host(config: HostConfig, device: torch.device) -> Host:
    """The host that a run names: a file of our own generator, or a diffusers pipeline."""
    if config.model.endswith(".safetensors"):
        return MinihostHost(config.model, config, device)
    return latent_host(open_pipeline(config), config, device)
