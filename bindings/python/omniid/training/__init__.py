"""Training Omni-ID against the hosts that people run, in PyTorch with transformers, diffusers and accelerate.

    accelerate launch -m omniid.training run.toml --out runs/mine

Stage 1 trains the encoder by masked reconstruction; stage 2 trains encoder and adapter against a frozen diffusers
model. The result is one native checkpoint that the library, its bindings and the nodes open. Needs `pip install
omniid[training]`."""

from .checkpoint import Crop, HostTable, NativeCheckpoint
from .config import RunConfig

__all__ = ["Crop", "HostTable", "NativeCheckpoint", "RunConfig"]
