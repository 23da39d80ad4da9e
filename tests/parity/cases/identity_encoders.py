"""PuLID's identity encoders, as modules written from their documented keys and formulas, and InstantX' time-aware
Resampler for SD3.5 by diffusers."""

import torch
from diffusers.loaders.transformer_sd3 import SD3Transformer2DLoadersMixin
from torch import nn

from .common import randomise, rounded, rounded_copy, save, save_expected, start

NAME = "identity_encoders"


def add_options(group):
    group.add_argument("--pulid-width", type=int, default=24, help="width of features and latents")
    group.add_argument("--pulid-context", type=int, default=20, help="width of the tokens")
    group.add_argument("--pulid-inputs", type=int, default=7, help="feature tokens per photo and level")


LEVELS = 5
FACE, CLASS = 12, 8


def mapping(inputs, first, second, outputs):
    return nn.Sequential(
        nn.Linear(inputs, first),
        nn.LayerNorm(first),
        nn.LeakyReLU(),
        nn.Linear(first, second),
        nn.LayerNorm(second),
        nn.LeakyReLU(),
        nn.Linear(second, outputs),
    )


class PulidV1(nn.Module):
    """Five tokens of the embedding; per level one of the class token plus the mean of the patches'."""

    def __init__(self, embedding, features, context):
        super().__init__()
        self.context = context
        self.body = mapping(embedding, 18, 22, 5 * context)
        for level in range(LEVELS):
            setattr(self, f"mapping_{level}", mapping(features, 16, 14, context))
            setattr(self, f"mapping_patch_{level}", mapping(features, 16, 14, context))

    def forward(self, embedding, levels):
        tokens = [self.body(embedding).view(-1, 5, self.context)]
        for level, states in enumerate(levels):
            of_class = getattr(self, f"mapping_{level}")(states[:, :1])
            of_patches = getattr(self, f"mapping_patch_{level}")(states[:, 1:])
            tokens.append(of_class + of_patches.mean(1, keepdim=True))
        return torch.cat(tokens, 1)


class Attention(nn.Module):
    def __init__(self, width, heads, head_width):
        super().__init__()
        inner = heads * head_width
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, context, latents):
        normal = self.norm2(latents)
        both = torch.cat([self.norm1(context), normal], 1)
        key, value = self.to_kv(both).chunk(2, -1)
        query, key, value = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (self.to_q(normal), key, value))
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.to_out(seen.transpose(1, 2).flatten(2))


class IdFormer(nn.Module):
    """Latents, joined by tokens of the embeddings, that read one level after the other."""

    def __init__(self, embedding, features, context, width=16, heads=1, tokens=6, id_tokens=5, depth=10, inner=0, growth=3):
        super().__init__()
        self.width, self.tokens, self.id_tokens = width, tokens, id_tokens
        self.latents = nn.Parameter(torch.empty(1, tokens, width))
        self.proj_out = nn.Parameter(torch.empty(width, context))
        self.id_embedding_mapping = mapping(embedding, inner or 18, inner or 22, id_tokens * width)
        for level in range(LEVELS):
            setattr(self, f"mapping_{level}", mapping(features, inner or 16, inner or 14, width))
        feed_forward = lambda: nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, growth * width, bias=False), nn.GELU(), nn.Linear(growth * width, width, bias=False)
        )
        self.layers = nn.ModuleList(
            nn.ModuleList([Attention(width, heads, 64), feed_forward()]) for _ in range(depth)
        )

    def forward(self, embeddings, levels):
        # [photos, embedding] and per level [photos, tokens, width]: one person.
        identity = self.id_embedding_mapping(embeddings).view(1, -1, self.width)
        latents = torch.cat([self.latents, identity], 1)
        per_level = len(self.layers) // LEVELS
        for level, states in enumerate(levels):
            states = states.flatten(0, 1)[None]
            context = torch.cat([identity, getattr(self, f"mapping_{level}")(states)], 1)
            for attention, feed_forward in self.layers[level * per_level : (level + 1) * per_level]:
                latents = latents + attention(context, latents)
                latents = latents + feed_forward(latents)
        return (latents[:, : self.tokens] @ self.proj_out)[0]


def pulid(folder, model, options):
    features, inputs, photos = options.pulid_width, options.pulid_inputs, 3
    model = randomise(model)
    embeddings = torch.randn(photos, FACE + CLASS)
    levels = [torch.randn(photos, inputs, features) for _ in range(LEVELS)]
    several = isinstance(model, IdFormer)

    def expected(dtype):
        network = rounded_copy(model, dtype)
        tokens = network(embeddings, levels)
        one = network(embeddings[:1], [states[:1] for states in levels])
        zeros = network(torch.zeros(1, FACE + CLASS), [torch.zeros(1, inputs, features)] * LEVELS)
        if not several:
            tokens, one, zeros = (x.flatten(0, 1) for x in (tokens, one, zeros))
        return {"tokens": tokens, "one_photo": one, "zeros": zeros}

    flat = {f"image_proj.{name}": tensor for name, tensor in model.state_dict().items()}
    layer = torch.randn(8, options.pulid_context)
    save(folder / "ip-adapter.safetensors", flat | {"ip_adapter.1.to_k_ip.weight": layer, "ip_adapter.1.to_v_ip.weight": layer})
    save_expected(folder, expected, {"embeddings": embeddings, "features": torch.cat(levels, 1)})


def time_resampler(folder, width, tokens, features, context, time, inputs):
    heads, depth = 1, 4
    weight = lambda rows, columns: torch.randn(rows, columns) / columns**0.5
    norm = lambda name, width: {f"{name}.weight": 1 + 0.1 * torch.randn(width), f"{name}.bias": 0.1 * torch.randn(width)}
    affine = lambda name, rows, columns: {f"{name}.weight": weight(rows, columns), f"{name}.bias": 0.1 * torch.randn(rows)}
    state = {"latents": torch.randn(1, tokens, width), **affine("proj_in", width, features)}
    state |= affine("time_embedding.linear_1", width, time) | affine("time_embedding.linear_2", width, width)
    for d in range(depth):
        state |= norm(f"layers.{d}.0.norm1", width) | norm(f"layers.{d}.0.norm2", width)
        state[f"layers.{d}.0.to_q.weight"] = weight(64 * heads, width)
        state[f"layers.{d}.0.to_kv.weight"] = weight(128 * heads, width)
        state[f"layers.{d}.0.to_out.weight"] = weight(width, 64 * heads)
        state |= norm(f"layers.{d}.1.0", width)
        state[f"layers.{d}.1.1.weight"] = weight(4 * width, width)
        state[f"layers.{d}.1.3.weight"] = weight(width, 4 * width)
        state |= affine(f"layers.{d}.2.1", 4 * width, width)
    state |= affine("proj_out", context, width) | norm("norm_out", context)
    photos = torch.randn(2, inputs, features)
    convert = SD3Transformer2DLoadersMixin()._convert_ip_adapter_image_proj_to_diffusers

    def expected(dtype):
        model = convert({name: rounded(tensor, dtype) for name, tensor in state.items()}, low_cpu_mem_usage=False).eval()
        expected = {}
        for timestep in [1000.0, 517.25, 0.0]:
            tokens, embedding = model(photos, torch.full((2,), timestep))
            expected[f"tokens.{timestep:g}"] = tokens.flatten(0, 1)
            expected[f"time.{timestep:g}"] = embedding[:1]
        return expected

    flat = {f"image_proj.{name}": tensor for name, tensor in state.items()}
    save(folder / "ip-adapter.safetensors", flat)
    save_expected(folder, expected, {"features": photos})


def with_anyone(folder, embedding=10, features=6, width=12):
    """Tokens of each photo for `ipa_arc`, then SigLIP's and the face's for `ipa_sig`."""

    def projection(inputs, inner, outputs):
        return nn.Sequential(nn.Linear(inputs, inner), nn.GELU(), nn.LayerNorm(inner), nn.Linear(inner, outputs))

    model = nn.Module()
    model.arcface_in_arc = projection(embedding, 4 * width, 8 * width)
    model.arcface_in_sig = projection(embedding, 4 * width, 8 * width)
    model.siglip_in_sig = projection(features, width, width)
    model = randomise(model)
    faces, states = torch.randn(2, embedding), torch.randn(2, 256, features)

    def expected(dtype):
        network = rounded_copy(model, dtype)
        arc = network.arcface_in_arc(faces).view(2, 8, width)
        sig = network.arcface_in_sig(faces).view(2, 8, width)
        return {"tokens": torch.cat([arc, network.siglip_in_sig(states), sig], 1).flatten(0, 1)}

    flat = {f"image_proj.{name}": tensor for name, tensor in model.state_dict().items()}
    save(folder / "ip-adapter.safetensors", flat)
    save_expected(folder, expected, {"embeddings": faces, "features": states})


def generate(folder, options):
    features, context = options.pulid_width, options.pulid_context
    for case, build in {
        "pulid_v1": lambda: PulidV1(FACE + CLASS, features, context),
        "id_former": lambda: IdFormer(FACE + CLASS, features, context),
    }.items():
        start(NAME, case, options)
        pulid(folder / case, build(), options)
    start(NAME, "with_anyone", options)
    with_anyone(folder / "with_anyone")
    start(NAME, "time_resampler", options)
    # As many sines as the published model has: their frequencies differ by what PyTorch's exp rounds.
    time_resampler(folder / "time_resampler", 24, 6, 20, 28, 320, 9)
