"""Apply Options: neutral by default; and everything as IPAdapter_plus does it, in one choice."""

import omniid
import pytest
import torch
from conftest import WEIGHT_TYPES, adapter_order
from hook_contract import patcher, run_chunks
from public_model import open_plus

SIGMA = 3.0


@pytest.mark.parametrize("weight_type", WEIGHT_TYPES)
@pytest.mark.parametrize("weight", [1.0, 0.6])
def test_connecting_it_changes_nothing(weight_type, weight, model, engine, anna, ben, nodes, inputs):
    x, texts = inputs
    settings = dict(model=model, omniid=engine, identity=anna, weight=weight, weight_type=weight_type)
    if weight_type.endswith("style and composition"):
        settings["composition"] = ben
    plain = nodes("OmniIDApplyIdentity", **settings)[0]
    connected = nodes("OmniIDApplyIdentity", **settings, options=nodes("OmniIDApplyOptions")[0])[0]
    assert set(plain.attn2) == set(connected.attn2)
    found, expected = (run_chunks(patched, x, SIGMA, texts, [1, 0]) for patched in (connected, plain))
    assert all(torch.equal(a, b) for a, b in zip(found, expected))


@pytest.mark.parametrize(
    "weight_type, option, absolute",
    [
        ("style transfer precise", "style_boost", "style_boost"),
        ("composition precise", "composition_boost", "composition_boost"),
        ("style and composition", "composition_weight", "composition_scale"),
    ],
)
def test_boosts_are_times_the_persons_weight(weight_type, option, absolute, model, engine, anna, ben, nodes, inputs):
    """Against the library's own option, which is absolute; for two people of different weights too."""
    x, texts = inputs
    options = nodes("OmniIDApplyOptions", **{option: 1.5})[0]
    people = nodes("OmniIDPerson", identity=anna, weight=0.8)[0]
    people = nodes("OmniIDPerson", identity=ben, weight=0.4, people=people)[0]
    patched = nodes(
        "OmniIDApplyPeople", model=model, omniid=engine, people=people, weight_type=weight_type, options=options
    )[0]
    from omniid_pack import host
    from omniid_pack.hook import AttentionHook, Injection

    expected, found = model.clone(), host.places(model)
    for identity, weight in ((anna, 0.8), (ben, 0.4)):
        given = [omniid.ConditioningInput(identity, scale=weight)]
        conditioning = engine.condition(given, weight_type=weight_type, **{absolute: 1.5 * weight})
        injection = Injection(conditioning)
        for place, layer in host.match(conditioning, found):
            key = (place.block, place.number) if place.depth == 1 else (place.block, place.number, place.index)
            expected.set_model_attn2_replace(AttentionHook(injection, layer, expected.attn2.get(key)), *key)
    results = [run_chunks(one, x, SIGMA, texts, [1, 0]) for one in (patched, expected)]
    assert all(float((a - b).abs().max()) <= 1e-5 for a, b in zip(*results))
    plain = nodes("OmniIDApplyPeople", model=model, omniid=engine, people=people, weight_type=weight_type)[0]
    without = run_chunks(plain, x, SIGMA, texts, [1, 0])
    assert not all(torch.equal(a, b) for a, b in zip(results[0], without))


def test_like_ipadapter_plus_is_skip_and_black_image(comfy, nodes, unets, inputs):
    """For a Plus adapter; what the workflow says itself still counts."""
    x, texts = inputs
    engine = open_plus(comfy.folder / "plus", adapter_order(unets["sd15"]))
    assert engine.info.encoder == omniid.EncoderKind.RESAMPLER
    photo = torch.rand(1, 60, 60, 3, generator=torch.Generator().manual_seed(5))
    anna = nodes("OmniIDEncodePhotos", omniid=engine, images=photo)[0]
    model = patcher(unets["sd15"])

    def run(unconditional, **options):
        patched = nodes(
            "OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, unconditional=unconditional,
            options=nodes("OmniIDApplyOptions", **options)[0],
        )[0]  # fmt: skip
        assert any(key[0] == "middle" for key in patched.attn2) is (options == {})
        return run_chunks(patched, x, SIGMA, texts, [1, 0])

    def same(a, b):
        return all(torch.equal(left, right) for left, right in zip(a, b))

    skip, like = {"middle_block": "skip, as IPAdapter_plus does"}, {"rules": "like IPAdapter_plus"}
    assert same(run("default", **like), run("black image", **skip))
    assert not same(run("default", **like), run("default", **skip))
    assert same(run("zero tokens", **like), run("zero tokens", **skip))
