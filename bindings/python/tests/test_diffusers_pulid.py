"""PuLID's injections in a diffusers UNet against attention processors written out in PyTorch from the formulas of its
paper and of `pulid/attention_processor.py`, in double precision."""

import math

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import diffusers_models as models  # noqa: E402
import omniid  # noqa: E402
import torch  # noqa: E402
from diffusers_models import largest, run  # noqa: E402
from native_model import picture  # noqa: E402
from omniid.diffusers import attach, attachments  # noqa: E402

LIMIT = 1e-5


class Reference:
    """The attention processor of one cross-attention layer: text, and the identities one after the other."""

    def __init__(self, people, mode, zero_tokens):
        self.people, self.mode, self.zero_tokens = people, mode, zero_tokens

    def __call__(self, attn, hidden_states, encoder_hidden_states, attention_mask=None, temb=None):
        query = attn.to_q(hidden_states).double()
        keys, values = (layer(encoder_hidden_states).double() for layer in (attn.to_k, attn.to_v))

        def heads(tensor):
            return tensor.unflatten(2, (attn.heads, -1)).transpose(1, 2)

        def attention(query, keys, values):
            scores = heads(query) @ heads(keys).transpose(2, 3) / math.sqrt(query.shape[2] / attn.heads)
            return (scores.softmax(3) @ heads(values)).transpose(1, 2).flatten(2)

        h = attention(query, keys, values)
        # Rows of guidance: unconditional, conditional. The former may have fewer tokens.
        h = torch.cat([self.identities(attn, query[i : i + 1], h[i : i + 1], i, heads, attention) for i in (0, 1)])
        return attn.to_out[1](attn.to_out[0](h.to(hidden_states.dtype)))

    def identities(self, attn, query, h, row, heads, attention):
        for scale, sides in self.people:
            zeros = torch.zeros(1, self.zero_tokens, query.shape[2], dtype=torch.double)
            keys, values = (torch.cat([side[None], zeros], 1) for side in sides[row])
            found = attention(query, keys, values)
            along = (h * found).sum(1, keepdim=True) / (h * h).sum(1, keepdim=True) * h
            if self.mode == "orthogonal":
                found = found - along
            elif self.mode == "orthogonal_v2":
                shares = (heads(query) @ heads(keys).transpose(2, 3)).softmax(3).mean(1)[:, :, :5].sum(2)
                found = found + (shares[:, :, None] - 1) * along
            h = h + scale * found
        return h


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def case(request, tmp_path_factory):
    pipe = {"sd": models.sd_pipeline, "sdxl": models.sdxl_pipeline}[request.param]()
    engine = models.Adapter(tmp_path_factory.mktemp("pulid"), pipe.unet).engine()
    # Two photos: more tokens than the five whose attention counts.
    people = [engine.encode([picture(s) for s in seeds], crop="none").identity for seeds in ((3, 4), (5, 6))]
    return pipe, engine, people


def reference(pipe, conditioning, scales, mode, zero_tokens, scale):
    """The latents with processors in place of attachments."""
    processors = dict(pipe.unet.attn_processors)
    found = dict(processors)
    for layer, described in enumerate(conditioning.layers):
        people = []
        for identity, weight in enumerate(scales):
            sides = []
            for role in ("unconditional", "conditional"):
                pair = (conditioning.keys(layer, identity, role), conditioning.values(layer, identity, role))
                sides.append([torch.from_numpy(np.array(side.numpy())).flatten(1).double() for side in pair])
            people.append((weight * scale, sides))
        found[described.name + ".processor"] = Reference(people, mode, zero_tokens)
    pipe.unet.set_attn_processor(found)
    try:
        return run(pipe)
    finally:
        pipe.unet.set_attn_processor(processors)


@pytest.mark.parametrize("mode", ["inject", "keys"])
@pytest.mark.parametrize("pulid", ["fidelity", "style", "neutral"])
@pytest.mark.parametrize("scales", [(0.8,), (0.8, 0.5)])
def test_modes_equal_the_formulas(case, pulid, mode, scales):
    pipe, engine, people = case
    options = omniid.pulid(pulid)
    inputs = [omniid.ConditioningInput(person, scale=scale) for person, scale in zip(people, scales)]
    conditioning = engine.condition(inputs, **options)
    assert (conditioning.injection, conditioning.zero_tokens) == (options["injection"], options["zero_tokens"])
    theirs = reference(pipe, conditioning, scales, options["injection"].name.lower(), options["zero_tokens"], 0.9)
    with attach(pipe, conditioning, scale=0.9, mode=mode):
        ours = run(pipe)
    assert attachments(pipe) == ()
    assert largest(ours, run(pipe)) > 0.1, "the identity changes nothing"
    assert largest(ours, theirs) <= LIMIT * max(1.0, float(theirs.abs().max()))


def test_modes_differ(case):
    pipe, engine, people = case
    found = []
    for pulid in ("fidelity", "style", "neutral"):
        with attach(pipe, engine.condition(people[0], **omniid.pulid(pulid))):
            found.append(run(pipe))
    assert largest(found[0], found[1]) > 1e-3 and largest(found[1], found[2]) > 1e-3
