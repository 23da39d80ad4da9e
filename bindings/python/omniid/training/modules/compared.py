"""What the Omni-ID encoder is compared with in the same host: tokens of other encoders."""

from __future__ import annotations

from typing import Any, Optional, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from ... import errors
from .backbone import Backbone, PixelStatistics

Vector = npt.NDArray[np.float32]


class Embed(Protocol):
    """A face recogniser."""

    dimension: int
    """Numbers of an embedding."""

    def __call__(self, image: Image.Image) -> Optional[Vector]:
        """The embedding of the face in a picture, of length 1; None when there is none."""
        ...


class FeatureTokens(nn.Module):
    """The tokens of a frozen image encoder such as CLIP's, averaged over the photos of a person, place by place: what
    IP-Adapter's full-face models read."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.tokens, self.token_width = backbone.tokens, backbone.width

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Tokens `[people, feature tokens, width]` of prepared photos `[people, photos, 3, size, size]`."""
        with torch.no_grad():
            features: torch.Tensor = self.backbone(pixels.flatten(0, 1))
        return features.unflatten(0, pixels.shape[:2]).mean(dim=1)


class _Plain:
    """Photos as they are, for a network that prepares them itself."""

    def __init__(self, size: int) -> None:
        self.config: dict[str, Any] = {"image_size": size}
        self.pixels = PixelStatistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class EmbeddingTokens(nn.Module):
    """The mean face embedding of a person's photos, and tokens from it by two linear layers that are trained, as in
    IP-Adapter FaceID. Photos without a face that is found do not count; nobody's embedding is 0."""

    def __init__(self, embed: Embed, tokens: int, token_width: int, size: int) -> None:
        super().__init__()
        self._embed, self.backbone = embed, _Plain(size)
        self.tokens, self.token_width = tokens, token_width
        self.dimension = embed.dimension
        self.up = nn.Linear(self.dimension, 2 * self.dimension)
        self.down = nn.Linear(2 * self.dimension, tokens * token_width)
        self.norm = nn.LayerNorm(token_width)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Tokens `[people, tokens, width]` of photos `[people, photos, 3, size, size]`, 0 to 1."""
        means = []
        for person in pixels:
            found = [self._embed(_image(photo)) for photo in person]
            vectors = [vector for vector in found if vector is not None]
            if any(len(vector) != self.dimension for vector in vectors):
                raise errors.MismatchError(f"the recogniser gave an embedding of another size than {self.dimension}")
            means.append(np.mean(vectors, axis=0) if vectors else np.zeros(self.dimension, np.float32))
        embedding = torch.from_numpy(np.stack(means)).to(pixels.device, torch.float32)
        tokens = self.down(nn.functional.gelu(self.up(embedding)))
        result: torch.Tensor = self.norm(tokens.unflatten(-1, (-1, self.token_width)))
        return result


def _image(photo: torch.Tensor) -> Image.Image:
    values = photo.detach().float().cpu().clamp(0, 1).mul(255).round().byte()
    return Image.fromarray(values.permute(1, 2, 0).contiguous().numpy())
