"""Our own small generator as a host: a UNet of diffusers on blocks of pixels, told about the view in numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import safetensors
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from ... import errors
from ..config import HostConfig
from ..data.views import VIEW
from ..objectives.noise import Diffusion, Flow, FlowToSample
from .base import Prompt, View
from .latent import DTYPES, face_weights
from .table import host_table

# Frontal light and a grey background: what is assumed about a photo besides its pose.
_LIGHT = [0.5] * 3 + [0.0] * 3 + [0.1] * 3 + [0.5] * 3
_REST = [0.0] * 12 + [0.0] * 2 + _LIGHT + [0.5] * 6 + [0.0]


class Minihost(nn.Module):
    """The generator around its UNet: pixels become channels, views become context tokens, class and map."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.block, self.size = int(config["block"]), int(config["size"])
        self.unet: Any = UNet2DConditionModel.from_config(dict(config["unet"]))
        context, hidden = config["unet"]["cross_attention_dim"], config["context_hidden"]
        places = (self.size // self.block) ** 2
        self.tokens, self.channels = int(config["context_tokens"]), int(config["map_channels"])
        self.context = _two_layers(hidden, self.tokens * context)
        self.map = _two_layers(hidden, places * self.channels)
        parts: dict[str, nn.Module] = {"context.map.": self.map, "context.": self.context, "": self.unet}
        split: dict[str, dict[str, torch.Tensor]] = {prefix: {} for prefix in parts}
        for name, tensor in weights.items():
            prefix = next(prefix for prefix in parts if name.startswith(prefix))
            split[prefix][name.removeprefix(prefix)] = tensor.float()
        for prefix, part in parts.items():
            part.load_state_dict(split[prefix])

    def forward(self, picture: torch.Tensor, time: torch.Tensor, view: torch.Tensor) -> torch.Tensor:
        """Pictures from `[rows, 3, size, size]`, −1 to 1, at times `[rows]`, 0 to 1, with views `[rows, 46]`."""
        side = self.size // self.block
        context = self.context(view).unflatten(-1, (self.tokens, -1))
        places = self.map(view).reshape(-1, side, side, self.channels).permute(0, 3, 1, 2)
        sample = torch.cat([nn.functional.pixel_unshuffle(picture, self.block), places], dim=1)
        found = self.unet(sample, time * 1000.0, context, class_labels=view, return_dict=False)[0]
        return nn.functional.pixel_shuffle(found, self.block)


def _two_layers(hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(VIEW, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


class MinihostHost:
    """A generator file of `omniid train`, or the built-in one, as a frozen host."""

    def __init__(self, path: str, config: HostConfig, device: torch.device) -> None:
        try:
            with safetensors.safe_open(path, "pt") as file:
                written = json.loads((file.metadata() or {})["omniid.minihost.config"])
                weights = {name: file.get_tensor(name) for name in file.keys()}
        except OSError as error:
            raise errors.IoError(f"host {path}: {error}") from error
        except (KeyError, ValueError, safetensors.SafetensorError) as error:
            raise errors.FormatError(f"host {path}: not a generator of OmniID: {error}") from error
        if written["prediction"] != "sample":
            raise errors.UnsupportedError(f"host {path}: predicts {written['prediction']!r}; 'sample' is known")
        self.config, self.device, self.dtype = config, device, DTYPES[config.precision]
        self.generator = Minihost(written, weights).requires_grad_(False).to(device, self.dtype).eval()
        self.model = self.generator.unet
        self.size = self.generator.size
        if config.size != self.size:
            raise errors.MismatchError(f"[host] size is {config.size}; the generator draws {self.size} pixels")
        self.table = host_table(self.model, "unet")
        self.noise: Diffusion | Flow | FlowToSample = FlowToSample(config.time_mean, config.time_std)

    def encode_pictures(self, pictures: torch.Tensor) -> torch.Tensor:
        """The pictures themselves."""
        return pictures.to(self.device)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures, 0 to 1."""
        return (latents.float() / 2 + 0.5).clamp(0, 1)

    def encode_prompts(self, prompts: Sequence[str]) -> list[Prompt]:
        """Nothing: the generator reads no text."""
        return [{} for _ in prompts]

    def release_encoders(self) -> None:
        """There are none."""

    def view_numbers(self, view: View) -> torch.Tensor:
        """`[rows, 46]`: the exact views, or the pose and what is assumed about everything else."""
        if view.numbers is not None:
            return view.numbers.to(self.device, self.dtype)
        rest = torch.tensor(_REST, device=view.pose.device).expand(len(view.pose), -1)
        return torch.cat([view.pose, rest], dim=1).to(self.device, self.dtype)

    def predict(self, sample: torch.Tensor, time: torch.Tensor, prompt: Prompt, view: View) -> torch.Tensor:
        """The picture without noise."""
        found: torch.Tensor = self.generator(sample.to(self.dtype), time.to(self.dtype), self.view_numbers(view))
        return found

    def times(self, steps: int, shape: Sequence[int]) -> Optional[list[float]]:
        """None: it has no scheduler."""
        return None

    def digest(self) -> str:
        """Pictures are cached as they are."""
        return f"minihost {self.size}"

    def place_weights(self, view: View, sample: torch.Tensor, background: float) -> Optional[torch.Tensor]:
        """Of pixels, from the faces' boxes."""
        if background >= 1.0:
            return None
        return face_weights(view.faces, self.size, self.size, background).to(sample.device)

    def text_weights(self) -> Optional[list[tuple[torch.Tensor, torch.Tensor]]]:
        """None: its context tokens describe views, which is no start for an identity."""
        return None
