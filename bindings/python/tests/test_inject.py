"""Conditionings and injection, against the formula in NumPy."""

import numpy as np
import omniid
import pytest
from omniid import ConditioningInput, Step


@pytest.fixture(scope="module")
def conditioning(engine, identity):
    return engine.condition(ConditioningInput(identity, scale=0.8))


def draw(shape, seed=0, kind=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(kind)


def formula(conditioning, layer, query, roles, identity=0):
    """factor x softmax(query Kt / sqrt(head_dim)) V in float64; `[batch, rows, heads, head_dim]`."""
    result = np.zeros(query.shape)
    for row, role in enumerate(roles):
        keys = conditioning.keys(layer, identity, role)
        if keys is None:
            continue
        k = keys.numpy().astype(np.float64)
        v = conditioning.values(layer, identity, role).numpy().astype(np.float64)
        scores = np.einsum("rhd,thd->hrt", query[row].astype(np.float64), k) / np.sqrt(k.shape[2])
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        result[row] = conditioning.factor(layer, identity) * np.einsum("hrt,thd->rhd", weights, v)
    return result


def test_a_conditioning_says_what_it_holds(conditioning, engine):
    assert conditioning.layer_count == 2 and conditioning.layer_names == ("down.attn", "up.attn")
    assert conditioning.layers == engine.host_layers
    assert conditioning.find_layer("up") == 1
    assert conditioning.keys(1).shape == (6, 4, 8) and conditioning.byte_size > 0
    assert conditioning.factor(0) == pytest.approx(0.8)
    assert "2 layers" in repr(conditioning)
    with pytest.raises(omniid.OmniIdError, match="nowhere"):
        conditioning.find_layer("nowhere")


@pytest.mark.parametrize("kind, limit", [(np.float32, 2e-6), (np.float16, 4e-3)])
@pytest.mark.parametrize("layer", [0, "up.attn"])
def test_inject_adds_the_formula(conditioning, kind, limit, layer):
    heads = conditioning.layers[conditioning.find_layer(layer) if isinstance(layer, str) else layer].heads
    query, output = draw((3, 10, heads, 8), 1, kind), draw((3, 10, heads, 8), 2, kind)
    roles = ["conditional", omniid.Role.UNCONDITIONAL, 0]
    expected = output + 0.5 * formula(conditioning, layer, query, ["conditional", "unconditional", "conditional"])
    found = output.copy()
    conditioning.inject(layer, query, found, scale=0.5, roles=roles)
    assert np.abs(found - expected).max() <= limit and np.abs(found - output).max() > 0.1
    # The same as [batch, rows, width], and with heads first.
    flat = output.reshape(3, 10, -1).copy()
    conditioning.inject(layer, query.reshape(3, 10, -1), flat, scale=0.5, roles=roles)
    assert np.array_equal(flat.reshape(found.shape), found)
    swapped = output.transpose(0, 2, 1, 3).copy()
    by_heads = query.transpose(0, 2, 1, 3).copy()
    conditioning.inject(layer, by_heads, swapped, scale=0.5, roles=roles, layout="heads_first")
    assert np.abs(swapped.transpose(0, 2, 1, 3) - found).max() <= limit


def test_strides_are_followed_and_gaps_are_left_alone(conditioning):
    query = draw((2, 10, 2, 8), 3)
    plain = np.zeros_like(query)
    conditioning.inject(0, query, plain)
    wide = np.full((2, 20, 2, 11), 7, np.float32)
    wide[:, ::2, :, :8] = 0
    conditioning.inject(0, np.repeat(query, 2, axis=1)[:, ::2], wide[:, ::2, :, :8])
    assert np.array_equal(wide[:, ::2, :, :8], plain)
    assert (wide[:, 1::2] == 7).all() and (wide[..., 8:] == 7).all()


def test_masks_and_steps_limit_an_identity(engine, photos, identity):
    mask = np.zeros((4, 6))
    mask[:, 2:] = 0.5
    other = engine.encode(photos[2]).identity
    conditioning = engine.condition([
        ConditioningInput(identity, mask=mask), ConditioningInput(other, scale=0.3, fraction=(0.25, 0.5)),
    ])  # fmt: skip
    assert conditioning.has_masks and conditioning.has_step_ranges and conditioning.identity_count == 2
    assert np.allclose(conditioning.mask_factors(0, 24, (4, 6)).reshape(4, 6), mask)
    assert (conditioning.mask_factors(1, 24) == 1).all()
    active = [conditioning.is_active(1, Step(fraction=f)) for f in (0.0, 0.25, 0.5, 0.51)]
    assert active == [False, True, True, False] and conditioning.is_active(0)
    query = draw((1, 24, 2, 8), 4)
    first = formula(conditioning, 0, query, ["conditional"], 0) * mask.reshape(1, 24, 1, 1)
    second = formula(conditioning, 0, query, ["conditional"], 1)
    for fraction, expected in ((0.1, first), (0.3, first + second)):
        found = np.zeros_like(query)
        conditioning.inject(0, query, found, step=Step(fraction=fraction), latent_size=(4, 6))
        assert np.abs(found - expected).max() <= 2e-6
    with pytest.raises(omniid.InvalidArgumentError):
        conditioning.inject(0, query, np.zeros_like(query), latent_size=(4, 6))  # no step
    with pytest.raises(omniid.InvalidArgumentError):
        conditioning.inject(0, query, np.zeros_like(query), step=Step(fraction=0.1))  # no latent size
    by_noise = engine.condition(ConditioningInput(identity, sigma=(5.0, 1.0)))
    assert [by_noise.is_active(0, Step(sigma=s)) for s in (6, 5, 1, 0.5)] == [False, True, True, False]


def test_masks_may_be_bytes_bools_and_pictures(engine, identity):
    pillow = pytest.importorskip("PIL.Image")
    mask = np.zeros((4, 6), dtype=bool)
    mask[1:3] = True
    picture = (mask * 255).astype(np.uint8)
    for source in (mask, picture, mask.astype(np.float64)[None], pillow.fromarray(picture)):
        conditioning = engine.condition(ConditioningInput(identity, mask=source))
        assert np.array_equal(conditioning.mask_factors(0, 24, (4, 6)).reshape(4, 6), mask.astype(np.float32))


def test_wrong_tensors_leave_the_output_alone(conditioning):
    query = draw((1, 10, 16), 5)
    before = draw((1, 10, 16), 6)
    bad = query.copy()
    bad[0, 3, 2] = np.nan
    locked = before.copy()
    locked.flags.writeable = False
    wrong = [
        (0, query[:, :, :15], before, {}, omniid.MismatchError),
        (0, query, before[:, :9], {}, omniid.MismatchError),
        (0, query, before.astype(np.float16), {}, omniid.MismatchError),
        (0, query.astype(np.float64), before, {}, omniid.UnsupportedError),
        (0, query[0, 0, 0], before, {}, omniid.OmniIdError),
        (0, query[None, None, None], before, {}, omniid.OmniIdError),
        (0, query.astype(">f4"), before, {}, omniid.UnsupportedError),
        (0, query[:, ::-1], before, {}, omniid.OmniIdError),
        (0, bad, before, {}, omniid.InvalidArgumentError),
        (0, query, locked, {}, omniid.InvalidArgumentError),
        (0, query, "text", {}, omniid.InvalidArgumentError),
        (0, [[1.0]], before, {}, omniid.InvalidArgumentError),
        (2, query, before, {}, omniid.InvalidArgumentError),
        (-1, query, before, {}, omniid.InvalidArgumentError),
        (1.5, query, before, {}, omniid.InvalidArgumentError),
        ("nowhere", query, before, {}, omniid.OmniIdError),
        (0, query, before, {"roles": ["conditional"] * 3}, omniid.OmniIdError),
        (0, query, before, {"roles": ["neither"]}, omniid.InvalidArgumentError),
        (0, query, before, {"layout": "sideways"}, omniid.InvalidArgumentError),
        (0, query, before, {"latent_size": 4}, omniid.InvalidArgumentError),
        (0, query, query, {}, omniid.InvalidArgumentError),
    ]
    for layer, q, output, more, kind in wrong:
        copy = before.copy()
        with pytest.raises(kind):
            conditioning.inject(layer, q, output, **more)
        assert np.array_equal(before, copy)


def test_weight_types_and_layer_scales(engine, identity):
    scaled = engine.condition(identity, layer_scales=[0.5, 2.0])
    assert [scaled.factor(i) for i in range(2)] == [0.5, 2.0]
    eased = engine.condition(identity, weight_type="ease_in")
    assert eased.factor(0) == pytest.approx(1.0) and eased.factor(1) == pytest.approx(0.05 + 0.95 * 0.5)
    nothing = engine.condition(ConditioningInput(identity, scale=0.0))
    assert nothing.factor(0) == 0.0 and nothing.keys(0) is None


def test_half_precision_keys(engine, identity):
    half = engine.condition(identity, precision="f16").keys(0)
    full = engine.condition(identity).keys(0)
    assert half.dtype == "float16" and half.numpy().dtype == np.float16
    assert np.array_equal(half.numpy(), full.numpy().astype(np.float16))
    brain = engine.condition(identity, precision="bf16").keys(0)
    assert brain.dtype == "bfloat16" and brain.numpy().dtype == np.float32
    assert np.abs(brain.numpy() - full.numpy()).max() <= 2**-8 * np.abs(full.numpy()).max()
