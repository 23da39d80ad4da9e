"""Image encoder and identity encoder together."""

from __future__ import annotations

import torch
from torch import nn

from ... import errors
from .backbone import Backbone
from .encoder import OmniIdConfig, OmniIdEncoder


class IdentityModel(nn.Module):
    """From photos to identity tokens."""

    def __init__(self, backbone: Backbone, config: OmniIdConfig) -> None:
        super().__init__()
        if (backbone.tokens, backbone.width) != (config.feature_tokens, config.feature_width):
            raise errors.MismatchError(
                f"the image encoder gives {backbone.tokens} tokens of width {backbone.width}; the identity encoder "
                f"takes {config.feature_tokens} of width {config.feature_width}"
            )
        self.backbone = backbone
        self.encoder = OmniIdEncoder(config)
        self.tokens, self.token_width = config.queries, config.token_width

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features `[people, photos, feature tokens, feature width]` of prepared photos `[people, photos, 3, size,
        size]`."""
        if pixels.ndim != 5:
            raise errors.MismatchError(
                f"the encoder takes photos [people, photos, 3, size, size], got {list(pixels.shape)}"
            )
        features: torch.Tensor = self.backbone(pixels.flatten(0, 1))
        return features.unflatten(0, pixels.shape[:2])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Tokens `[people, queries, token width]` of prepared photos `[people, photos, 3, size, size]`."""
        tokens: torch.Tensor = self.encoder(self.features(pixels))
        return tokens

    def gradient_checkpointing(self) -> None:
        """Computes blocks again in the backward pass instead of keeping what they gave."""
        self.backbone.gradient_checkpointing()
        self.encoder.gradient_checkpointing = True
