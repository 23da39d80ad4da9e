"""Weights and masks for each picture of a batch: against each picture by itself."""

import omniid
import pytest
import torch
from conftest import photo_batch
from hook_contract import run_chunks

SIGMA = 3.0


def batch(inputs, pictures):
    _, texts = inputs
    return torch.randn(pictures, 4, 12, 8, generator=torch.Generator().manual_seed(4)), texts


def one_by_one(patched, x, texts):
    """Each picture with a model of its own: `patched(number)`."""
    parts = [run_chunks(patched(i), x[i : i + 1], SIGMA, texts, [1, 0]) for i in range(len(x))]
    return [torch.cat([part[side] for part in parts]) for side in range(2)]


def close(found, expected):
    assert len(found) == len(expected)
    assert all(float((a - b).abs().max()) <= 1e-5 for a, b in zip(found, expected))


@pytest.mark.parametrize("weight_type", ["linear", "ease in", "style transfer precise"])
def test_a_weight_for_each_picture(weight_type, model, engine, anna, nodes, inputs):
    x, texts = batch(inputs, 5)
    weights, inverse, pictures = nodes("OmniIDWeightSchedule", key_frames="0:0, 2:0.8", pictures=4)
    assert weights == pytest.approx([0, 0.4, 0.8, 0.8]) and inverse == pytest.approx([1, 0.6, 0.2, 0.2])
    assert pictures == 4
    settings = dict(model=model, omniid=engine, identity=anna, weight_type=weight_type)
    patched = nodes("OmniIDApplyIdentity", **settings, weight=weights)[0]
    single = [nodes("OmniIDApplyIdentity", **settings, weight=weight)[0] for weight in (*weights, weights[-1])]
    found = run_chunks(patched, x, SIGMA, texts, [1, 0])
    close(found, one_by_one(lambda i: single[i], x, texts))
    bare = run_chunks(model, x, SIGMA, texts, [1, 0])
    assert torch.allclose(found[1][0], bare[1][0], atol=1e-5) and not torch.allclose(found[1][2], bare[1][2], atol=1e-3)
    # Any order of chunks.
    for chunks in ([0], [0, 1], [1, 0, 1]):
        for chunk, result in zip(chunks, run_chunks(patched, x, SIGMA, texts, chunks)):
            close([result], [found[1 - chunk]])


def test_two_people_fade_into_each_other(model, engine, anna, ben, nodes, inputs):
    x, texts = batch(inputs, 3)
    weights, inverse, _ = nodes("OmniIDWeightSchedule", key_frames="0:1\n2:0", between="smooth")
    assert weights == pytest.approx([1, 0.5, 0]) and inverse == pytest.approx([0, 0.5, 1])
    people = nodes("OmniIDPerson", identity=anna, weight=weights)[0]
    people = nodes("OmniIDPerson", identity=ben, weight=inverse, people=people)[0]
    patched = nodes("OmniIDApplyPeople", model=model, omniid=engine, people=people)[0]

    def single(i):
        pair = nodes("OmniIDPerson", identity=anna, weight=weights[i])[0]
        pair = nodes("OmniIDPerson", identity=ben, weight=inverse[i], people=pair)[0]
        return nodes("OmniIDApplyPeople", model=model, omniid=engine, people=pair)[0]

    close(run_chunks(patched, x, SIGMA, texts, [1, 0]), one_by_one(single, x, texts))


def test_a_mask_for_each_picture(model, engine, anna, nodes, inputs):
    x, texts = batch(inputs, 4)
    masks = torch.rand(3, 50, 30, generator=torch.Generator().manual_seed(9))
    settings = dict(model=model, omniid=engine, identity=anna, weight=0.7)
    patched = nodes("OmniIDApplyIdentity", **settings, mask=masks)[0]
    # The fourth picture has the last mask.
    single = [nodes("OmniIDApplyIdentity", **settings, mask=masks[min(i, 2)])[0] for i in range(4)]
    close(run_chunks(patched, x, SIGMA, texts, [1, 0]), one_by_one(lambda i: single[i], x, texts))


@pytest.mark.parametrize("size", [(12, 8), (13, 9), (7, 11), (16, 16)])
def test_masks_are_placed_as_the_library_does(size, engine, anna, pack):
    from omniid_pack.frames import token_factors

    mask = torch.rand(33, 21, generator=torch.Generator().manual_seed(size[0]))
    conditioning = engine.condition([omniid.ConditioningInput(anna, mask=mask.numpy())])
    for halvings in range(3):
        height, width = (-(-side // 2**halvings) for side in size)
        expected = torch.from_numpy(conditioning.mask_factors(0, height * width, size))
        found = token_factors(mask[None], height * width, size)[0]
        assert float((found - expected).abs().max()) <= 1e-5


def test_animatediffs_windows(model, engine, anna, nodes, inputs):
    """A window of a long video holds pictures 5, 6, 7, 0."""
    x, texts = batch(inputs, 4)
    weights = nodes("OmniIDWeightSchedule", key_frames="0:0, 7:1")[0]
    window = [5, 6, 7, 0]
    patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, weight=weights)[0]
    patched.model_options["transformer_options"]["ad_params"] = {"sub_idxs": window, "full_length": 8}
    single = [
        nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, weight=weights[i])[0] for i in window
    ]
    close(run_chunks(patched, x, SIGMA, texts, [1, 0]), one_by_one(lambda i: single[i], x, texts))


def test_key_frames(nodes, pack):
    node = pack.NODE_CLASS_MAPPINGS["OmniIDWeightSchedule"]
    assert nodes("OmniIDWeightSchedule", key_frames="3:1, 1:0.5", between="hold")[0] == [0.5, 0.5, 0.5, 1]
    assert nodes("OmniIDWeightSchedule", key_frames="0:-1", pictures=2)[0] == [-1, -1]
    assert node.VALIDATE_INPUTS(key_frames="0:1, 8:0.5") is True
    for wrong in ("", "1", "a:1", "-1:1", "0:x", "0:nan", "0:1 1:2"):
        assert "key frames" in node.VALIDATE_INPUTS(key_frames=wrong)


def test_what_cannot_be_scheduled_is_refused(model, engine, anna, nodes):
    options = nodes("OmniIDApplyOptions", embeds_scaling="K+V")[0]
    with pytest.raises(omniid.InvalidArgumentError, match="needs 'V only'"):
        nodes(
            "OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, weight=[0.0, 1.0], options=options
        )  # fmt: skip
    with pytest.raises(omniid.InvalidArgumentError, match="empty"):
        nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, weight=[])


def test_noise(nodes):
    photo = photo_batch(1)
    for method in ("fade", "dissolve", "gaussian", "shuffle"):
        first, again = (nodes("OmniIDNoise", method=method, strength=0.5, image=photo, seed=3)[0] for _ in range(2))
        assert first.shape == (1, 224, 224, 3) and 0 <= float(first.min()) and float(first.max()) <= 1
        assert torch.equal(first, again)
        plain = nodes("OmniIDNoise", method=method, strength=0.0, image=photo)[0]
        assert float((plain - first).abs().mean()) > 0.01
        assert torch.equal(plain, nodes("OmniIDNoise", method="fade", strength=0.0, image=photo)[0])
        blurred = nodes("OmniIDNoise", method=method, strength=0.5, image=photo, seed=3, blur=8)[0]
        assert float(blurred.diff(dim=1).abs().mean()) < float(first.diff(dim=1).abs().mean())
        if method != "shuffle":
            assert not torch.equal(first, nodes("OmniIDNoise", method=method, strength=0.5, image=photo, seed=4)[0])
    assert float(nodes("OmniIDNoise", strength=0.0)[0].max()) == 0
    # Shuffling changes places, not colours.
    plain, mixed = (nodes("OmniIDNoise", method="shuffle", strength=s, image=photo)[0] for s in (0.0, 1.0))
    assert torch.allclose(plain.flatten(0, 2).sort(dim=0).values, mixed.flatten(0, 2).sort(dim=0).values)
