"""What stage 2 needs of a host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Protocol

import torch

from ..checkpoint import HostTable
from ..data.people import Face
from ..data.steps import StepPictures
from ..objectives.noise import Diffusion, Flow, FlowToSample

Prompt = dict[str, torch.Tensor]
"""What a host is told besides the identity, one row for each picture: its own names."""


@dataclass(frozen=True)
class View:
    """What is known about the pictures of a batch besides the identity."""

    pose: torch.Tensor
    """`[rows, 13]`; zeros where it is not known."""
    faces: Sequence[Optional[Face]]
    """In pixels of the target."""
    numbers: Optional[torch.Tensor] = None
    """`[rows, 46]`: the exact views of rendered people, where they are known."""

    @classmethod
    def of(cls, step: StepPictures, device: torch.device) -> View:
        """What a step says of its targets."""
        return cls(step.pose.to(device), step.faces, None if step.views is None else step.views.to(device))


class Host(Protocol):
    """A frozen diffusion model."""

    model: Any
    """The UNet or transformer, frozen."""
    table: HostTable
    """Its attention layers."""
    noise: Diffusion | Flow | FlowToSample
    """How it was trained."""
    size: int
    """Side of a picture in pixels."""

    def encode_pictures(self, pictures: torch.Tensor) -> torch.Tensor:
        """Latents of pictures `[rows, 3, size, size]`, −1 to 1."""
        ...

    def encode_prompts(self, prompts: Sequence[str]) -> list[Prompt]:
        """What the text encoders make of each prompt, without the batch dimension."""
        ...

    def release_encoders(self) -> None:
        """Drops VAE and text encoders from memory, when everything is cached."""
        ...

    def predict(self, sample: torch.Tensor, time: torch.Tensor, prompt: Prompt, view: View) -> torch.Tensor:
        """A pass of the model."""
        ...

    def times(self, steps: int, shape: Sequence[int]) -> Optional[list[float]]:
        """`steps` + 1 times from noise, 1, to the picture, 0, of a latent `[*shape]`, as the host's scheduler steps;
        None where the times are those of `noise`."""
        ...

    def digest(self) -> str:
        """Different for hosts whose VAE or text encoders are others, whatever they are called. Before
        `release_encoders`."""
        ...

    def place_weights(self, view: View, sample: torch.Tensor, background: float) -> Optional[torch.Tensor]:
        """Weights of positions that broadcast over a prediction: 1 on the face, `background` elsewhere; None: all
        alike."""
        ...

    def text_weights(self) -> Optional[list[tuple[torch.Tensor, torch.Tensor]]]:
        """The host's own key and value matrices of each layer for text, where an adapter can start from them."""
        ...

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures `[rows, 3, size, size]`, 0 to 1."""
        ...
