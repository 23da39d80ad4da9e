"""Noise: a picture to keep away from."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

SIDE = 224


class Noise:
    """A noisy picture, for the side of the negative prompt."""

    DESCRIPTION = (
        "A picture of noise, or a photo made noisy. Encoded and connected to `negative` it makes pictures cleaner or "
        "freer, as the noise of IPAdapter_plus does."
    )
    CATEGORY = "OmniID"
    SEARCH_ALIASES = ["ipadapter noise", "negative image"]
    FUNCTION = "make"
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("224 by 224 pixels for each photo.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "method": (
                    ["fade", "dissolve", "gaussian", "shuffle"],
                    {
                        "default": "fade",
                        "tooltip": "fade: photo and noise are mixed; dissolve: noise replaces single pixels; gaussian: "
                        "normal noise is added; shuffle: the photo's blocks change places.",
                    },
                ),
                "strength": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05, "tooltip": "How noisy."}),
                "blur": ("INT", {"default": 0, "min": 0, "max": 32, "tooltip": "Radius of a blur, in pixels."}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**63 - 1, "tooltip": "Another seed, other noise."}),
            },
            "optional": {"image": ("IMAGE", {"tooltip": "A photo, or a batch; without one, black."})},
        }

    def make(self, method: str, strength: float, blur: int, seed: int, image: Any = None) -> tuple[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        picture = torch.zeros(1, 3, SIDE, SIDE) if image is None else _square(image)
        noise = torch.rand(picture.shape, generator=generator)
        if method == "fade":
            picture = torch.lerp(picture, noise, strength)
        elif method == "dissolve":
            replaced = torch.rand(picture.shape, generator=generator) < strength
            picture = torch.where(replaced, noise, picture)
        elif method == "gaussian":
            picture = picture + strength * torch.randn(picture.shape, generator=generator)
        else:
            picture = _shuffled(picture, strength, generator)
        if blur:
            picture = _blurred(picture, blur)
        return (picture.clamp(0, 1).permute(0, 2, 3, 1),)


def _square(image: torch.Tensor) -> torch.Tensor:
    """The middle square of ComfyUI images, `[batch, 3, SIDE, SIDE]`."""
    height, width = image.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[:, top : top + side, left : left + side, :3].permute(0, 3, 1, 2).float().cpu()
    return F.interpolate(square, size=(SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 1)


def _shuffled(picture: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Blocks in another order; the stronger, the smaller they are. Strength 0 changes nothing."""
    if strength == 0:
        return picture
    block = 4 * max(1, round((1 - strength) * 7))  # 28 to 4 pixels
    while SIDE % block:
        block -= 4
    blocks = F.unfold(picture, block, stride=block)
    order = torch.randperm(blocks.shape[2], generator=generator)
    return F.fold(blocks[:, :, order], (SIDE, SIDE), block, stride=block)


def _blurred(picture: torch.Tensor, radius: int) -> torch.Tensor:
    """A Gaussian blur that reaches `radius` pixels far."""
    offsets = torch.arange(-radius, radius + 1, dtype=picture.dtype)
    kernel = torch.exp(-0.5 * (offsets / (radius / 2)) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = F.pad(picture, (radius, radius, radius, radius), mode="reflect")
    rows = F.conv2d(padded, kernel[:, :, None, :], groups=3)
    return F.conv2d(rows, kernel[:, :, :, None], groups=3)
