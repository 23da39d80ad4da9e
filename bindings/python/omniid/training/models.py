"""The networks of a run: new, or with the weights of a checkpoint."""

from __future__ import annotations

from typing import Optional, Union

import torch

from .. import errors
from .checkpoint import NativeCheckpoint
from .config import ModelConfig
from .modules import (
    Backbone,
    EmbeddingTokens,
    FeatureTokens,
    IdentityAdapter,
    IdentityModel,
    OmniIdConfig,
    PixelStatistics,
)
from .modules.places import square_codes

AnyIdentity = Union[IdentityModel, FeatureTokens, EmbeddingTokens]
"""What makes tokens of photos: ours, or what it is compared with."""


def backbone_of(config: ModelConfig) -> Backbone:
    """The image encoder of a new model. Raises IoError, and what a native checkpoint raises."""
    if config.backbone is not None:
        if config.backbone.endswith(".safetensors"):
            return NativeCheckpoint.open(config.backbone).model.backbone
        try:
            return Backbone.from_pretrained(config.backbone)
        except (OSError, ValueError) as error:
            raise errors.IoError(f"[model] backbone {config.backbone}: {error}") from error
    sizes = {
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward * config.width,
        "num_hidden_layers": config.blocks + 1,
        "num_attention_heads": config.heads,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "hidden_act": config.activation,
        "layer_norm_eps": 1e-5,
        "projection_dim": None,
    }
    backbone = Backbone(sizes, PixelStatistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    with torch.no_grad():
        positions = backbone.native_state()["vision_model.embeddings.position_embedding.weight"]
        positions.zero_()  # the class token has no place
        positions[1:].copy_(square_codes(config.image_size // config.patch_size, config.width))
    return backbone


def identity_of(config: ModelConfig) -> AnyIdentity:
    """The encoder of a new model, with random weights; or one that it is compared with. Raises IoError, and what the
    library says to a recogniser that it cannot open."""
    if config.encoder == "embedding":
        from .recogniser import embed_by

        return EmbeddingTokens(embed_by(config.recogniser), config.queries, config.token_width, config.image_size)
    backbone = backbone_of(config)
    if config.encoder == "features":
        return FeatureTokens(backbone)
    encoder = OmniIdConfig(
        queries=config.queries,
        width=config.encoder_width,
        depth=config.encoder_depth,
        heads=config.encoder_heads,
        head_width=config.encoder_width // config.encoder_heads,
        feature_width=backbone.width,
        feature_tokens=backbone.tokens,
        token_width=config.token_width,
        key_position=config.anchored_queries and backbone.family != "siglip",
        include_class_token=config.class_token,
    )
    return IdentityModel(backbone, encoder)


def trainable(identity: AnyIdentity, config: ModelConfig) -> None:
    """Freezes what a run does not train."""
    if isinstance(identity, EmbeddingTokens):
        return
    if isinstance(identity, FeatureTokens):
        identity.requires_grad_(False)
        return
    for name, parameter in identity.backbone.network.named_parameters():
        fixed = config.freeze_backbone or (
            config.backbone is None and not config.train_positions and "position_embedding" in name
        )
        parameter.requires_grad_(parameter.requires_grad and not fixed)
    if config.gradient_checkpointing:
        identity.gradient_checkpointing()


def start_from(path: str, identity: AnyIdentity, adapter: Optional[IdentityAdapter]) -> list[str]:
    """Takes tensors of equal name and shape from a native checkpoint. Gives the names of what was not there."""
    if not isinstance(identity, IdentityModel):
        raise errors.UnsupportedError(f"start = {path!r}: a run with [model] encoder other than 'omni_id' starts anew")
    found = NativeCheckpoint.open(path, None if adapter is None else adapter.host_layers)
    theirs = found.state()
    left = []
    state = {f"backbone.{name}": tensor for name, tensor in identity.backbone.native_state().items()}
    state |= {f"encoder.{name}": tensor for name, tensor in identity.encoder.state_dict().items()}
    if adapter is not None:
        state |= {f"adapter.{name}": tensor for name, tensor in adapter.native_state().items()}
    with torch.no_grad():
        for name, tensor in state.items():
            other = theirs.get(name)
            if other is not None and other.shape == tensor.shape:
                tensor.copy_(other)
            else:
                left.append(name)
    return left
