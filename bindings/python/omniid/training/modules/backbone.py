"""Image encoders, from transformers: CLIP (also the mini ViT of the built-in model), SigLIP and DINOv2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional, Union

import torch
import transformers
from torch import nn

from ... import errors


@dataclass(frozen=True)
class PixelStatistics:
    """Preparation of pixels 0 to 1: `(pixel - mean) / std` per channel red, green, blue."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def prepare(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures `[…, 3, height, width]`, 0 to 1."""
        shape = (3, 1, 1)
        return (pictures - pictures.new_tensor(self.mean).view(shape)) / pictures.new_tensor(self.std).view(shape)

    @staticmethod
    def of(family: str) -> PixelStatistics:
        """What a family of image encoders was trained with."""
        if family == "siglip":
            return PixelStatistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        if family == "dinov2":
            return PixelStatistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        return PixelStatistics((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


_SIZES = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size",
    "hidden_act", "layer_norm_eps",
)  # fmt: skip

# From the names of transformers, without `vision_model.`, to those of a native checkpoint. Versions differ.
_RENAMED = {
    "clip": (),
    "siglip": (),
    "dinov2": (
        (r"^embeddings\.cls_token$", "embeddings.class_embedding"),
        (r"^embeddings\.position_embeddings$", "embeddings.position_embedding.weight"),
        (r"^embeddings\.patch_embeddings\.projection\.", "embeddings.patch_embedding."),
        (r"^encoder\.layer\.", "encoder.layers."),
        (r"\.norm([12])\.", r".layer_norm\1."),
        (r"\.attention\.(?:attention\.)?(?:query|q_proj)\.", ".self_attn.q_proj."),
        (r"\.attention\.(?:attention\.)?(?:key|k_proj)\.", ".self_attn.k_proj."),
        (r"\.attention\.(?:attention\.)?(?:value|v_proj)\.", ".self_attn.v_proj."),
        (r"\.attention\.(?:output\.dense|o_proj)\.", ".self_attn.out_proj."),
        (r"^layernorm\.", "post_layernorm."),
    ),
}

# Tensors that hidden state −2 does not need, and that a native checkpoint therefore leaves out.
_UNREAD = ("post_layernorm.", "head.", "embeddings.mask_token", "embeddings.position_ids")


class Backbone(nn.Module):
    """An image encoder of transformers, of which hidden state −2 is read: what comes out of the block before the last.

    The last block is not built, so that nothing is trained, sharded or stored in vain.
    """

    def __init__(self, config: Mapping[str, Any], pixels: Optional[PixelStatistics] = None) -> None:
        """`config` is `backbone` of a native checkpoint's metadata: the names of `CLIPVisionConfig`, and `family`."""
        super().__init__()
        self.config = dict(config)
        family: Union[str, dict[str, Any]] = config.get("family", "clip")
        self.family = family if isinstance(family, str) else next(iter(family))
        self._more: dict[str, Any] = {} if isinstance(family, str) else family[self.family]
        if self.family not in _RENAMED or self._more.get("swiglu"):
            raise errors.UnsupportedError(
                f"an image encoder {family!r} cannot be trained; known are clip, siglip and dinov2 (small, base, large)"
            )
        self.pixels = pixels or PixelStatistics.of(self.family)
        self.network = self._network()
        for name, parameter in self.network.named_parameters():
            if self._native_name(name) is None:
                parameter.requires_grad_(False)

    def _network(self) -> Any:
        sizes = {name: self.config[name] for name in _SIZES if name in self.config}
        sizes["num_hidden_layers"] -= 1
        if sizes["num_hidden_layers"] < 1:
            raise errors.InvalidArgumentError(
                "an image encoder of one block has no hidden state −2 but the embeddings; two blocks are the fewest"
            )
        if self.family == "siglip":
            return transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**sizes, vision_use_head=False))
        if self.family == "clip":
            return transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**sizes))
        inner = sizes.pop("intermediate_size")
        ratio, rest = divmod(inner, sizes["hidden_size"])
        if rest:
            raise errors.UnsupportedError(
                f"intermediate_size {inner} of DINOv2 is not a multiple of hidden_size {sizes['hidden_size']}"
            )
        registers = self._more.get("register_tokens", 0)
        if registers:
            config = transformers.Dinov2WithRegistersConfig(**sizes, mlp_ratio=ratio, num_register_tokens=registers)
            return transformers.Dinov2WithRegistersModel(config)
        return transformers.Dinov2Model(transformers.Dinov2Config(**sizes, mlp_ratio=ratio))

    @property
    def width(self) -> int:
        """Width of a feature token."""
        return int(self.config["hidden_size"])

    @property
    def tokens(self) -> int:
        """Tokens of one photo: the patches, and what stands before them."""
        side = self.config["image_size"] // self.config["patch_size"]
        before = 0 if self.family == "siglip" else 1 + self._more.get("register_tokens", 0)
        return int(side * side + before)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features `[photos, tokens, width]` of photos `[photos, 3, size, size]`, prepared by `pixels.prepare`."""
        # The state after the last block that was built, before the network's last norm.
        states = self.network(pixels, output_hidden_states=True).hidden_states
        return states[-1]

    def gradient_checkpointing(self) -> None:
        """Computes the blocks again in the backward pass instead of keeping what they gave."""
        self.network.gradient_checkpointing_enable({"use_reentrant": False})

    def _native_name(self, name: str) -> Optional[str]:
        name = name.removeprefix("vision_model.")
        for pattern, new in _RENAMED[self.family]:
            name = re.sub(pattern, new, name)
        return None if name.startswith(_UNREAD) else f"vision_model.{name}"

    def native_state(self) -> dict[str, torch.Tensor]:
        """The weights by their native names, without the prefix `backbone.`."""
        state = {}
        for name, tensor in self.network.state_dict().items():
            native = self._native_name(name)
            if native is not None:
                single = native.endswith("class_embedding")
                several = native.endswith("position_embedding.weight")
                state[native] = tensor.reshape(-1) if single else tensor.flatten(0, -2) if several else tensor
        return state

    @torch.no_grad()
    def load_native_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes the weights from a native checkpoint, names without the prefix `backbone.`. What hidden state −2 does
        not need may be missing. Raises FormatError for a missing tensor, MismatchError for one of another shape."""
        for name, tensor in self.native_state().items():
            found = state.get(name)
            if found is None:
                raise errors.FormatError(f"backbone.{name} is missing")
            if found.shape != tensor.shape:
                raise errors.MismatchError(
                    f"backbone.{name} has shape {list(found.shape)}, expected {list(tensor.shape)}"
                )
            tensor.copy_(found)

    @classmethod
    def from_pretrained(cls, model: Any, pixels: Optional[PixelStatistics] = None) -> Backbone:
        """From a vision model of transformers (CLIP, SigLIP, DINOv2; also the vision part of a whole CLIP), or the
        folder or name that `AutoModel.from_pretrained` takes."""
        if not isinstance(model, nn.Module):
            model = transformers.AutoModel.from_pretrained(model)
        model = getattr(model, "vision_model", model) if not hasattr(model, "embeddings") else model
        source = model.config
        source = getattr(source, "vision_config", source)
        kind = source.model_type
        config: dict[str, Any] = {name: getattr(source, name) for name in _SIZES if hasattr(source, name)}
        if kind.startswith("siglip"):
            config["family"] = "siglip"
        elif kind.startswith("dinov2"):
            swiglu = bool(getattr(source, "use_swiglu_ffn", False))
            registers = getattr(source, "num_register_tokens", 0)
            config["family"] = {"dinov2": {"register_tokens": registers, "swiglu": swiglu}}
            config["intermediate_size"] = int(source.hidden_size * source.mlp_ratio)
        elif not kind.startswith("clip"):
            raise errors.UnsupportedError(f"a vision model of type {kind!r}; known are CLIP, SigLIP and DINOv2")
        backbone = cls(config, pixels)
        last = int(source.num_hidden_layers) - 1
        theirs = {backbone._native_name(name): tensor for name, tensor in model.state_dict().items()}
        state = {name: tensor for name, tensor in theirs.items() if name and f".layers.{last}." not in name}
        shapes = backbone.native_state()
        backbone.load_native_state(
            {name: tensor.reshape(shapes[name].shape) for name, tensor in state.items() if name in shapes}
        )
        return backbone
