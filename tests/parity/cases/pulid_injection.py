"""PuLID's injection into SDXL: zero tokens, `ORTHO` and `ORTHO_v2`, by a module of PyTorch written from the formulas.

The reference (`pulid/attention_processor.py` of the authors) appends `NUM_ZERO` tokens of zeros to the identity's tokens
before its projections without bias, so that their keys and values are zero; computes scaled dot-product attention; and
joins it to the text attention in one of three ways. Here the same is written out with einsum, in f64.

The tokens are the rows of an identity matrix, so that a projection's columns are the keys or values, and all numbers
have eight significant bits: f16, bf16 and f32 hold the same inputs, and what is compared is the arithmetic.
"""

import pathlib

import torch

from .common import save, start

NAME = "pulid_injection"

# Heads, head width, image tokens, identity tokens of the conditional and the unconditional row.
_CASES = {
    "sdxl": (10, 64, 8, 10, 10),
    "narrow": (2, 40, 21, 32, 10),
    "wide": (2, 80, 9, 7, 3),
    "few": (2, 8, 9, 3, 1),
}

# Names of the outputs, zero tokens, and how the identity joins the text attention.
_MODES = {
    "neutral": (0, "add"),
    "add_8": (8, "add"),
    "ortho_0": (0, "ortho"),
    "style": (16, "ortho"),
    "ortho_v2_0": (0, "ortho_v2"),
    "fidelity": (8, "ortho_v2"),
}

_SCALE = 0.75
_LEADING = 5


def add_options(group):
    group.add_argument("--pulid-rows", type=int, default=0, help="image tokens of every case; 0 for the cases' own")


def generate(folder, options):
    """Writes all golden files of this area into `folder`."""
    out = pathlib.Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for name, sizes in _CASES.items():
        start(NAME, name, options)
        save(out / f"{name}.safetensors", _case(*sizes, options.pulid_rows))


def _case(heads, width, rows, conditional, unconditional, rows_asked_for):
    rows = rows_asked_for or rows
    inner, tokens = heads * width, max(conditional, unconditional)
    to_k, to_v = _few_bits(inner, tokens) * 0.5, _few_bits(inner, tokens)
    query, hidden = _few_bits(2, rows, inner), _few_bits(2, rows, inner)
    # One channel in which the text attention is zero, which the reference divides by.
    hidden[:, :, 1] = 0
    tensors = dict(to_k=to_k, to_v=to_v, query=query, hidden=hidden, heads=torch.tensor([float(heads)]))
    # Row 0 is the unconditional one.
    counts = [unconditional, conditional]
    tensors["tokens"] = torch.tensor([float(count) for count in counts])
    for name, (zeros, mode) in _MODES.items():
        joined = [
            _inject(query[row], hidden[row], to_k[:, :count].T, to_v[:, :count].T, heads, zeros, mode)
            for row, count in enumerate(counts)
        ]
        tensors[f"out.{name}"] = torch.stack(joined).float()
    return tensors


def _few_bits(*shape):
    return torch.randn(*shape).bfloat16().float()


def _inject(query, hidden, keys, values, heads, zeros, mode):
    """`hidden + scale · …` for one batch row; query and hidden `[rows, inner]`, keys and values `[tokens, inner]`."""
    query, hidden, keys, values = (tensor.double() for tensor in (query, hidden, keys, values))
    nothing = torch.zeros(zeros, keys.shape[1], dtype=torch.float64)
    split = lambda tensor: tensor.unflatten(-1, (heads, -1))
    keys, values = split(torch.cat([keys, nothing])), split(torch.cat([values, nothing]))
    scores = torch.einsum("shd,thd->hst", split(query), keys)
    identity = torch.einsum("hst,thd->shd", (scores / keys.shape[-1] ** 0.5).softmax(-1), values).flatten(1)
    if mode == "add":
        return hidden + _SCALE * identity
    along = (hidden * identity).sum(0) / (hidden * hidden).sum(0)
    projection = along.nan_to_num(0) * hidden
    if mode == "ortho":
        return hidden + _SCALE * (identity - projection)
    # Zero tokens come after the identity's: with fewer than five of its own they count among the first five.
    attention = scores.softmax(-1).mean(0)[:, :_LEADING].sum(-1, keepdim=True)
    return hidden + _SCALE * (identity + (attention - 1) * projection)
