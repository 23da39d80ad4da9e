"""The Omni-ID encoder written down in PyTorch from its documentation, independently of the Rust code.

Parameter names are those of the checkpoint. It is the reference of the parity tests and a starting point for
anyone who wants to train in PyTorch.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head attention without biases. Keys and values may come from different tensors."""

    def __init__(self, width, context, heads, head_width):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, heads * head_width, bias=False)
        self.to_k = nn.Linear(context, heads * head_width, bias=False)
        self.to_v = nn.Linear(context, heads * head_width, bias=False)
        self.to_out = nn.Linear(heads * head_width, width, bias=False)

    def attend(self, x, keys, values):
        # unflatten: [tokens, heads, head width] -> [heads, tokens, head width]
        q, k, v = (
            projection(source).unflatten(-1, (self.heads, -1)).transpose(0, 1)
            for projection, source in ((self.to_q, x), (self.to_k, keys), (self.to_v, values))
        )
        # One batch dimension in front, without which PyTorch's ONNX exporter refuses the operation.
        attended = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
        return self.to_out(attended.transpose(0, 1).flatten(1))


class CrossAttention(Attention):
    def __init__(self, width, context, heads, head_width):
        super().__init__(width, context, heads, head_width)
        self.norm_queries = nn.LayerNorm(width)
        self.norm_features = nn.LayerNorm(context)

    def forward(self, x, z, position):
        values = self.norm_features(z)
        keys = values if position is None else values + position
        return x + self.attend(self.norm_queries(x), keys, values)


class SelfAttention(Attention):
    def __init__(self, width, heads, head_width):
        super().__init__(width, width, heads, head_width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        normal = self.norm(x)
        return x + self.attend(normal, normal, normal)


class FeedForward(nn.Module):
    def __init__(self, width, multiplier):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, multiplier * width, bias=False)
        self.down = nn.Linear(multiplier * width, width, bias=False)

    def forward(self, x):
        return x + self.down(F.gelu(self.up(self.norm(x))))


class Block(nn.Module):
    def __init__(self, width, context, heads, head_width, multiplier):
        super().__init__()
        self.cross_attention = CrossAttention(width, context, heads, head_width)
        self.self_attention = SelfAttention(width, heads, head_width)
        self.feed_forward = FeedForward(width, multiplier)

    def forward(self, x, z, position):
        return self.feed_forward(self.self_attention(self.cross_attention(x, z, position)))


class OmniIdReference(nn.Module):
    def __init__(
        self,
        queries,
        width,
        depth,
        heads,
        head_width,
        feed_forward_multiplier,
        feature_width,
        feature_tokens,
        token_width,
        key_position,
        include_class_token,
    ):
        super().__init__()
        self.include_class_token = include_class_token
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.key_position = None
        if key_position:
            tokens = feature_tokens if include_class_token else feature_tokens - 1
            self.key_position = nn.Parameter(torch.randn(tokens, feature_width))
        self.blocks = nn.ModuleList(
            Block(width, feature_width, heads, head_width, feed_forward_multiplier) for _ in range(depth)
        )
        self.norm_out = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, token_width) if token_width != width else None

    def forward(self, photos):
        """Tokens [queries, token width] from a list of [feature tokens, feature width]."""
        if not self.include_class_token:
            photos = [photo[1:] for photo in photos]
        z = torch.cat(photos)
        position = None if self.key_position is None else torch.cat([self.key_position] * len(photos))
        x = self.queries
        for block in self.blocks:
            x = block(x, z, position)
        x = self.norm_out(x)
        return x if self.proj_out is None else self.proj_out(x)
