"""Stage 1: masked reconstruction (paper, Masked Transformer Decoder)."""

from __future__ import annotations

from typing import Optional

import torch
from torch import nn

from ..config import RunConfig
from ..data.steps import StepPictures
from ..modules import IdentityModel, MaskedDecoder, MaskedDecoderConfig, MaskedTargets
from ..modules.places import square_codes
from .tokens import of_whom


def patches(pictures: torch.Tensor, patch: int) -> torch.Tensor:
    """`[rows, 3, size, size]` to `[rows, patches, 3 · patch²]`: row, column, channel within a patch, as `omniid
    train`."""
    rows, channels, height, width = pictures.shape
    split = pictures.reshape(rows, channels, height // patch, patch, width // patch, patch)
    return split.permute(0, 2, 4, 3, 5, 1).reshape(rows, -1, channels * patch * patch)


class MaskedObjective(nn.Module):
    """Identity model and masked decoder, and the loss of a step: L1 on hidden patches."""

    def __init__(self, config: RunConfig, identity: IdentityModel) -> None:
        super().__init__()
        masked, backbone = config.masked, identity.backbone.config
        self.identity = identity
        self.decoder = MaskedDecoder(
            MaskedDecoderConfig(
                masked.width, masked.depth, masked.heads, masked.condition, config.model.token_width,
                backbone["patch_size"],
            )
        )  # fmt: skip
        self._config, self._patch = masked, int(backbone["patch_size"])
        side = backbone["image_size"] // self._patch
        self._patches = side * side
        self.register_buffer("codes", square_codes(side, masked.width), persistent=False)

    codes: torch.Tensor

    def forward(self, step: StepPictures, whose: str = "own") -> dict[str, torch.Tensor]:
        """The loss `loss` of the pictures of a step, on the device of the weights. `whose`: the tokens of the person
        ("own"), of the next person of the step ("other"), or the mean of the step's ("mean")."""
        device = self.codes.device
        assert step.targets is not None
        tokens = self.identity(self.identity.backbone.pixels.prepare(step.photos.to(device)))
        places = self._draw([draw.seed for draw in step.draws], len(step.pose) // len(step.draws), device)
        visible = self._config.visible(self._patches)
        values = patches(step.targets.to(device), self._patch)
        rows = torch.arange(len(values), device=device)[:, None]
        seen, hidden = places[:, :visible], places[:, visible:]
        targets = MaskedTargets(
            values[rows, seen] if visible else None,
            self.codes[seen] if visible else None,
            self.codes[hidden],
            None if self._config.condition == "none" else step.pose.to(device),
        )
        tokens = of_whom(self._drop(tokens, step), whose)
        decoded = self.decoder(tokens, targets)
        return {"loss": (decoded.float() - values[rows, hidden]).abs().mean()}

    def _draw(self, seeds: list[int], targets: int, device: torch.device) -> torch.Tensor:
        """Places of visible and decoded patches of each target, `[people · targets, visible + decoded]`."""
        count = self._config.visible(self._patches) + self._config.decoded(self._patches)
        drawn = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            drawn += [torch.randperm(self._patches, generator=generator)[:count] for _ in range(targets)]
        return torch.stack(drawn).to(device)

    def _drop(self, tokens: torch.Tensor, step: StepPictures) -> torch.Tensor:
        """A random subset of each person's tokens, the same number for everybody."""
        count = tokens.shape[1]
        kept = min(max(round((1.0 - self._config.token_dropout) * count), 1), count)
        if kept == count or not self.training:
            return tokens
        places = []
        for draw in step.draws:
            generator = torch.Generator().manual_seed(draw.seed ^ 1)
            places.append(torch.randperm(count, generator=generator)[:kept].sort().values)
        index: Optional[torch.Tensor] = torch.stack(places).to(tokens.device)
        assert index is not None
        return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[2]))
