"""The networks in PyTorch. Their parameters have the names of a native checkpoint."""

from .adapter import IdentityAdapter, TokenProjection
from .backbone import Backbone, PixelStatistics
from .compared import EmbeddingTokens, FeatureTokens
from .encoder import OmniIdConfig, OmniIdEncoder
from .identity import IdentityModel
from .masked_decoder import MaskedDecoder, MaskedDecoderConfig, MaskedTargets

__all__ = [
    "Backbone",
    "EmbeddingTokens",
    "FeatureTokens",
    "IdentityAdapter",
    "IdentityModel",
    "MaskedDecoder",
    "MaskedDecoderConfig",
    "MaskedTargets",
    "OmniIdConfig",
    "OmniIdEncoder",
    "PixelStatistics",
    "TokenProjection",
]
