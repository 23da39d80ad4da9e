"""A MODEL OF COMFYUI'S TRANSFORMERS, written from their documented behaviour; not ComfyUI: FLUX and SD3 in small sizes,
with the names of the modules that nodes see, and the replacements of blocks. See `hook_contract`.

A block has a place where the tests put the reference of an adapter: `identity`, a function of the query before the
rotary embedding.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from hook_contract import BaseModel, ModelPatcher, _copied, optimized_attention
from torch import nn

HEADS, HEAD_DIM, CONTEXT = 2, 32, 24
WIDTH = HEADS * HEAD_DIM


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.scale


class QKNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.query_norm, self.key_norm = RMSNorm(HEAD_DIM), RMSNorm(HEAD_DIM)

    def forward(self, q, k, v):
        return self.query_norm(q).to(v), self.key_norm(k).to(v)


def rotate(x, angles):
    """Rotary embedding: pairs of values are turned by an angle for each position."""
    pairs = x.unflatten(-1, (-1, 2))
    cosine, sine = angles.cos(), angles.sin()
    turned = (pairs[..., 0] * cosine - pairs[..., 1] * sine, pairs[..., 0] * sine + pairs[..., 1] * cosine)
    return torch.stack(turned, dim=-1).flatten(-2)


def attention(q, k, v, pe):
    q, k = rotate(q, pe), rotate(k, pe)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def heads(qkv):
    return qkv.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.norm, self.proj = nn.Linear(WIDTH, 3 * WIDTH), QKNorm(), nn.Linear(WIDTH, WIDTH)


class DoubleStreamBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.num_heads, self.hidden_size = HEADS, WIDTH
        self.img_attn, self.txt_attn = SelfAttention(), SelfAttention()
        self.img_mlp, self.txt_mlp = (nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU()) for _ in range(2))
        self.identity = self.before = None

    def forward(self, img, txt, vec, pe, attn_mask=None, transformer_options=None):
        sides = []
        for x, part in ((txt, self.txt_attn), (img, self.img_attn)):
            q, k, v = heads(part.qkv(x + vec[:, None]))
            sides.append((*part.norm(q, k, v), v))
        found = attention(*(torch.cat(both, dim=2) for both in zip(*sides)), pe)
        txt_found, img_found = found[:, : txt.shape[1]], found[:, txt.shape[1] :]
        query = sides[1][0].transpose(1, 2).flatten(2)
        if self.before is not None:
            img_found = img_found + self.before(query)
        img = img + self.img_attn.proj(img_found)
        img = img + self.img_mlp(img)
        txt = txt + self.txt_attn.proj(txt_found)
        txt = txt + self.txt_mlp(txt)
        if self.identity is not None:
            img = img + self.identity(query)
        return img, txt


class SingleStreamBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.num_heads, self.hidden_size = HEADS, WIDTH
        self.linear1, self.linear2 = nn.Linear(WIDTH, 5 * WIDTH), nn.Linear(3 * WIDTH, WIDTH)
        self.norm = QKNorm()
        self.before = None

    def forward(self, x, vec, pe, attn_mask=None, transformer_options=None):
        qkv, mlp = self.linear1(x + vec[:, None]).split([3 * WIDTH, 2 * WIDTH], dim=-1)
        q, k, v = heads(qkv)
        q, k = self.norm(q, k, v)
        found = attention(q, k, v, pe)
        if self.before is not None:
            found = found + self.before(q.transpose(1, 2).flatten(2))
        return x + self.linear2(torch.cat((found, F.gelu(mlp)), 2))


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        fan = parameter[0].numel() if parameter.dim() > 1 else 16
        parameter.data = torch.randn(parameter.shape, generator=generator) / math.sqrt(fan)
        if "norm" in name or "ln_" in name:
            parameter.data += 1
    return model.eval().requires_grad_(False)


def tokens_of(x, patch=2):
    """Latents `[batch, channels, height, width]` as tokens, padded to whole ones."""
    x = F.pad(x, (0, -x.shape[-1] % patch, 0, -x.shape[-2] % patch))
    return F.pixel_unshuffle(x, patch).flatten(2).transpose(1, 2)


class Flux(nn.Module):
    def __init__(self, double=2, single=3, seed=1):
        super().__init__()
        self.patch_size = 2
        self.img_in, self.txt_in, self.time_in = nn.Linear(16, WIDTH), nn.Linear(CONTEXT, WIDTH), nn.Linear(1, WIDTH)
        self.double_blocks = nn.ModuleList(DoubleStreamBlock() for _ in range(double))
        self.single_blocks = nn.ModuleList(SingleStreamBlock() for _ in range(single))
        self.final_layer = nn.Linear(WIDTH, 16)
        randomise(self, seed)

    def forward(self, x, timestep, context, ref_latents=None, transformer_options=None):
        options = transformer_options
        img = tokens_of(x)
        tokens = img.shape[1]
        for reference in ref_latents or ():
            img = torch.cat([img, tokens_of(reference)], dim=1)
        img, txt, vec = self.img_in(img), self.txt_in(context), self.time_in(timestep[:, None])
        count = txt.shape[1] + img.shape[1]
        pe = torch.arange(count)[:, None] / torch.arange(1, HEAD_DIM // 2 + 1)
        replaced = options.get("patches_replace", {}).get("dit", {})
        common = {"vec": vec, "pe": pe, "attn_mask": None, "transformer_options": options}
        for i, block in enumerate(self.double_blocks):

            def double(args, block=block):
                out = {}
                out["img"], out["txt"] = block(**{name: args[name] for name in ("img", "txt", "vec", "pe")})
                return out

            call = replaced.get(("double_block", i), lambda args, extra: extra["original_block"](args))
            out = call({"img": img, "txt": txt, **common}, {"original_block": double})
            img, txt = out["img"], out["txt"]
        img = torch.cat((txt, img), 1)
        for i, block in enumerate(self.single_blocks):

            def single(args, block=block):
                return {"img": block(args["img"], vec=args["vec"], pe=args["pe"])}

            call = replaced.get(("single_block", i), lambda args, extra: extra["original_block"](args))
            img = call({"img": img, **common}, {"original_block": single})["img"]
        img = self.final_layer(img[:, txt.shape[1] :])[:, :tokens]
        height, width = (-(-side // 2) for side in x.shape[-2:])
        img = F.pixel_shuffle(img.transpose(1, 2).unflatten(2, (height, width)), 2)
        return img[:, :, : x.shape[-2], : x.shape[-1]]


class JointAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.num_heads = HEADS
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.ln_q, self.ln_k = RMSNorm(HEAD_DIM), RMSNorm(HEAD_DIM)


class DismantledBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = JointAttention()
        self.mlp = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU())


class JointBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.context_block, self.x_block = DismantledBlock(), DismantledBlock()
        self.joint = None

    def forward(self, context, x, c):
        sides = []
        for hidden, block in ((context, self.context_block), (x, self.x_block)):
            projected = block.attn.qkv(hidden + c[:, None])
            q, k, v = (part.unflatten(-1, (HEADS, -1)) for part in projected.chunk(3, dim=-1))
            sides.append([part.flatten(2) for part in (block.attn.ln_q(q), block.attn.ln_k(k), v)])
        found = optimized_attention(*(torch.cat(both, dim=1) for both in zip(*sides)), HEADS)
        own = found[:, context.shape[1] :]
        if self.joint is not None:
            own = own + self.joint(*projected.chunk(3, dim=-1))
        results = []
        for hidden, part, block in ((context, found[:, : context.shape[1]], self.context_block),
                                    (x, own, self.x_block)):  # fmt: skip
            hidden = hidden + block.attn.proj(part)
            results.append(hidden + block.mlp(hidden))
        return results


class MMDiT(nn.Module):
    def __init__(self, depth=2, seed=2):
        super().__init__()
        self.patch_size = 2
        self.x_embedder, self.context_embedder = nn.Linear(16, WIDTH), nn.Linear(CONTEXT, WIDTH)
        self.t_embedder = nn.Linear(1, WIDTH)
        self.joint_blocks = nn.ModuleList(JointBlock() for _ in range(depth))
        self.final_layer = nn.Linear(WIDTH, 16)
        randomise(self, seed)

    def forward(self, x, timestep, context, transformer_options=None):
        replaced = transformer_options.get("patches_replace", {}).get("dit", {})
        size = x.shape[-2:]
        x, txt, c = self.x_embedder(tokens_of(x)), self.context_embedder(context), self.t_embedder(timestep[:, None])
        for i, block in enumerate(self.joint_blocks):

            def joint(args, block=block):
                txt, img = block(args["txt"], args["img"], c=args["vec"])
                return {"txt": txt, "img": img}

            call = replaced.get(("double_block", i), lambda args, extra: extra["original_block"](args))
            arguments = {"img": x, "txt": txt, "vec": c, "transformer_options": transformer_options}
            out = call(arguments, {"original_block": joint})
            x, txt = out["img"], out["txt"]
        x = self.final_layer(x).transpose(1, 2).unflatten(2, (-(-size[0] // 2), -(-size[1] // 2)))
        return F.pixel_shuffle(x, 2)[:, :, : size[0], : size[1]]


class Sampling:
    """The noise levels of flow matching."""

    def percent_to_sigma(self, percent):
        return 1.0 if percent <= 0 else 0.0 if percent >= 1 else 1.0 - percent


class Model(BaseModel):
    def __init__(self, transformer):
        super().__init__(transformer)
        self.model_sampling = Sampling()


def patcher(transformer):
    return ModelPatcher(Model(transformer))


class Executor:
    """Calls the wrappers around `apply_model`, one after the other, and then it."""

    def __init__(self, original, class_obj, wrappers):
        self.original, self.class_obj, self.wrappers = original, class_obj, wrappers

    def __call__(self, *arguments, **keywords):
        if not self.wrappers:
            return self.original(*arguments, **keywords)
        return self.wrappers[0](Executor(self.original, self.class_obj, self.wrappers[1:]), *arguments, **keywords)


def run_chunks(model, x, sigma, contexts, chunks, **more):
    """One pass over a batch of chunks; see `hook_contract.run_chunks`."""
    options = _copied(model.model_options)["transformer_options"]
    rows = x.shape[0] * len(chunks)
    options |= {"cond_or_uncond": list(chunks), "sigmas": torch.full((rows,), float(sigma))}
    context = torch.cat([contexts[chunk].expand(x.shape[0], -1, -1) for chunk in chunks])

    def apply_model(x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **keywords):
        return model.model.diffusion_model(x, t, c_crossattn, transformer_options=transformer_options, **keywords)

    wrappers = [wrapper for each in model.wrappers.get("apply_model", {}).values() for wrapper in each]
    run = Executor(apply_model, model.model, wrappers)
    time = torch.full((rows,), float(sigma))
    result = run(torch.cat([x] * len(chunks)), time, None, context, None, options, **more)
    return result.chunk(len(chunks))


def sample(model, x, steps, contexts, scale):
    """Euler's method of flow matching. ComfyUI leaves the negative side out at guidance 1."""
    sigmas = [1 - step / steps for step in range(steps)] + [0.0]
    for sigma, after in zip(sigmas, sigmas[1:]):
        if scale == 1:
            (velocity,) = run_chunks(model, x, sigma, contexts, [0])
        else:
            uncond, cond = run_chunks(model, x, sigma, contexts, [1, 0])
            velocity = uncond + (cond - uncond) * scale
        x = x + velocity * (after - sigma)
    return x
