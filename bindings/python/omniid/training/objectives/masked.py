"""Stage 1: masked reconstruction (paper, Masked Transformer Decoder)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import torch
from torch import nn

from ... import errors
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


@dataclass(frozen=True)
class Chance:
    """What a step draws at random."""

    places: torch.Tensor
    """`[people · targets, visible + decoded]`: patches of each target."""
    kept: Optional[torch.Tensor]
    """`[people, tokens]`: which of a person's tokens are shown; None: all of them."""


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

    def chance(self, step: StepPictures) -> Chance:
        """What `forward` draws at random for a step. Drawn before it, no generator is in the way of torch.compile."""
        seeds, device = [draw.seed for draw in step.draws], self.codes.device
        return Chance(self._draw(seeds, len(step.pose) // len(step.draws), device), self._kept(seeds, device))

    def forward(
        self, step: StepPictures, whose: str = "own", chance: Optional[Chance] = None
    ) -> dict[str, torch.Tensor]:
        """The loss `loss` of the pictures of a step, on the device of the weights. `whose`: the tokens of the person
        ("own"), of the next person of the step ("other"), or the mean of the step's ("mean"). `chance`: what `chance`
        drew; None draws now."""
        device, chance = self.codes.device, chance or self.chance(step)
        assert step.targets is not None
        tokens = self.identity(self.identity.backbone.pixels.prepare(step.photos.to(device)))
        places = chance.places
        visible = self._config.visible(self._patches)
        values = patches(step.targets.to(device), self._patch)
        rows = torch.arange(len(values), device=device)[:, None]
        seen, hidden = places[:, :visible], places[:, visible:]
        targets = MaskedTargets(
            values[rows, seen] if visible else None,
            self.codes[seen] if visible else None,
            self.codes[hidden],
            self.condition(step),
        )
        if chance.kept is not None:
            tokens = tokens.gather(1, chance.kept[..., None].expand(-1, -1, tokens.shape[2]))
        tokens = of_whom(tokens, whose)
        decoded = self.decoder(tokens, targets)
        return {"loss": (decoded.float() - values[rows, hidden]).abs().mean()}

    def condition(self, step: StepPictures) -> Optional[torch.Tensor]:
        """What the decoder is told about each target of a step. Raises InvalidArgumentError when exact views are asked
        for and not known."""
        kind = self._config.condition
        if kind == "view" and step.views is None:
            raise errors.InvalidArgumentError(
                "[masked] condition is 'view', which is known of whole pictures of rendered people only (truth.jsonl "
                "beside their folders); 'pose' is for photos"
            )
        known = {"none": None, "pose": step.pose, "view": step.views}[kind]
        return None if known is None else known.to(self.codes.device)

    def _draw(self, seeds: list[int], targets: int, device: torch.device) -> torch.Tensor:
        """Places of visible and decoded patches of each target, `[people · targets, visible + decoded]`."""
        count = self._config.visible(self._patches) + self._config.decoded(self._patches)
        drawn = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            drawn += [torch.randperm(self._patches, generator=generator)[:count] for _ in range(targets)]
        return torch.stack(drawn).to(device)

    def _kept(self, seeds: list[int], device: torch.device) -> Optional[torch.Tensor]:
        """Places `[people, tokens]` of a random subset of each person's tokens, the same number for everybody; None for
        all of them."""
        count = len(self.identity.encoder.queries)
        kept = min(max(round((1.0 - self._config.token_dropout) * count), 1), count)
        if kept == count or not self.training:
            return None
        places = []
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed ^ 1)
            places.append(torch.randperm(count, generator=generator)[:kept].sort().values)
        return torch.stack(places).to(device)
