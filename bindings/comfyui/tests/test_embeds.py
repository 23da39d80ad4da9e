"""Embeds: combining photos, weights, the host's own CLIP vision model."""

import math

import comfy_stand_in
import numpy as np
import omniid
import pytest
import torch
from conftest import adapter_order, photo_batch
from hook_contract import patcher, run_chunks
from public_model import ClipVision, open_plus


def tokens(identity):
    return torch.from_numpy(np.array(identity.tokens().numpy()))


@pytest.fixture(scope="module")
def plus(comfy, unets):
    folder = comfy.folder / "plus"
    return open_plus(folder, adapter_order(unets["sd15"])), folder


def square_batch(*seeds):
    """Photos of the size that the image encoder sees, so that no way of resizing matters; 8 bits."""
    return (photo_batch(*seeds)[:, :56, :56] * 255).round() / 255


def by_definition(features, method):
    """The methods, number by number."""
    first, others = features[0], features[1:]
    mean = sum(others[1:], others[0]) / len(others)
    return {
        "average": sum(others, first) / len(features),
        "add": sum(others, first),
        "subtract": first - mean,
        "norm average": sum(f / torch.sqrt(sum(g * g for g in features)) for f in features) / len(features),
        "max": torch.stack(list(features)).amax(dim=0),
        "min": torch.stack(list(features)).amin(dim=0),
    }[method]


@pytest.mark.parametrize("method", ["average", "norm average", "add", "subtract", "max", "min"])
def test_combining(method, plus, nodes):
    engine, _ = plus
    photos = photo_batch(0, 1, 2)
    embeds, report = nodes("OmniIDPhotoEmbeds", omniid=engine, images=photos)
    assert embeds.shape == (3, 17, 32) and len(report.splitlines()) == 3
    expected = by_definition(list(embeds.double()), method).float()
    combined = nodes(
        "OmniIDCombineEmbeds", embeds_1=embeds[:1], embeds_2=embeds[1:2], embeds_5=embeds[2:], method=method
    )
    assert torch.allclose(combined[0], expected[None], atol=1e-5)
    found = nodes("OmniIDIdentityFromEmbeds", omniid=engine, embeds=combined[0], label="Anna")[0]
    assert found.info.photos == 1 and found.label == "Anna"
    # The same in one node.
    at_once = nodes("OmniIDEncodePhotos", omniid=engine, images=photos, combine=method)[0]
    assert torch.equal(tokens(at_once), tokens(found))


def test_concat_is_what_encoding_does(plus, nodes):
    engine, _ = plus
    photos = photo_batch(0, 1)
    embeds = nodes("OmniIDPhotoEmbeds", omniid=engine, images=photos)[0]
    same = nodes("OmniIDCombineEmbeds", embeds_1=embeds[:1], embeds_2=embeds[1:], method="concat")[0]
    found = nodes("OmniIDIdentityFromEmbeds", omniid=engine, embeds=same)[0]
    assert torch.equal(tokens(found), tokens(nodes("OmniIDEncodePhotos", omniid=engine, images=photos)[0]))


def test_a_weight_for_each_photo(plus, nodes, pack):
    engine, _ = plus
    photos = photo_batch(0, 1)
    plain = nodes("OmniIDPhotoEmbeds", omniid=engine, images=photos)[0]
    found = nodes("OmniIDPhotoEmbeds", omniid=engine, images=photos, photo_weights="1, 0.25")[0]
    assert torch.equal(found[0], plain[0]) and torch.allclose(found[1], plain[1] / 4)
    assert torch.allclose(nodes("OmniIDPhotoEmbeds", omniid=engine, images=photos, photo_weights="0.5")[0], plain / 2)
    with pytest.raises(omniid.InvalidArgumentError, match="3 weights for 2 photos"):
        nodes("OmniIDPhotoEmbeds", omniid=engine, images=photos, photo_weights="1, 2, 3")
    node = pack.NODE_CLASS_MAPPINGS["OmniIDPhotoEmbeds"]
    assert node.VALIDATE_INPUTS(photo_weights="1, 0.5") is True
    assert "photo weights" in node.VALIDATE_INPUTS(photo_weights="x")


def test_embeds_of_another_model_are_refused(plus, engine, nodes):
    ours, _ = plus
    with pytest.raises(omniid.MismatchError, match="image encoder that was chosen in Load Model"):
        nodes("OmniIDIdentityFromEmbeds", omniid=ours, embeds=torch.zeros(1, 257, 1280))
    with pytest.raises(omniid.InvalidArgumentError, match="different models"):
        nodes("OmniIDCombineEmbeds", embeds_1=torch.zeros(1, 17, 32), embeds_2=torch.zeros(1, 257, 1280))


def test_omni_id_identities_can_be_combined_too(engine, nodes):
    photos = photo_batch(0, 1)
    found = nodes("OmniIDEncodePhotos", omniid=engine, images=photos, combine="average")[0]
    plain = nodes("OmniIDEncodePhotos", omniid=engine, images=photos)[0]
    assert found.info.photos == 1 and plain.info.photos == 2
    assert math.isfinite(engine.similarity(found, plain)) and not torch.equal(tokens(found), tokens(plain))


@pytest.fixture
def with_clip(plus, pack):
    from omniid_pack import embeds

    engine, folder = plus
    clip = ClipVision(folder)
    embeds.use_clip_vision(engine, clip)
    yield engine, clip
    embeds.use_clip_vision(engine, None)


def test_comfyuis_clip_vision_sees_the_photos(with_clip, plus, nodes, comfy, unets, inputs):
    """Same weights, same pictures: the same identity, without the library's image encoder; so for what the side of the
    negative prompt sees."""
    x, texts = inputs
    engine, clip = with_clip
    again = open_plus(plus[1], adapter_order(unets["sd15"]))
    photos = square_batch(0, 1)
    found = nodes("OmniIDEncodePhotos", omniid=engine, images=photos)[0]
    assert clip.seen == 2 and found.info.photos == 2
    expected = nodes("OmniIDEncodePhotos", omniid=again, images=photos)[0]
    assert float((tokens(found) - tokens(expected)).abs().max()) <= 1e-4
    model = patcher(unets["sd15"])
    for unconditional, rules, passes in (("default", "OmniID", 1), ("black image", "OmniID", 1),
                                         ("zero pixels", "OmniID", 0), ("default", "like IPAdapter_plus", 0),
                                         ("zero tokens", "OmniID", 0)):  # fmt: skip
        before = clip.seen
        results = []
        for one, identity in ((engine, found), (again, expected)):
            options = nodes("OmniIDApplyOptions", rules=rules)[0]
            patched = nodes("OmniIDApplyIdentity", model=model, omniid=one, identity=identity,
                            unconditional=unconditional, options=options)[0]  # fmt: skip
            results.append(run_chunks(patched, x, 3.0, texts, [1, 0]))
        assert clip.seen - before == passes
        assert all(float((a - b).abs().max()) <= 1e-4 for a, b in zip(*results)), unconditional


def test_cancel_is_heard_between_photos(with_clip, engine, nodes, comfy, monkeypatch):
    """By ComfyUI's CLIP vision, and by the library's image encoder: not one photo more."""
    plus_engine, clip = with_clip
    management = __import__("sys").modules["comfy.model_management"]
    calls = []

    def pressed_at(number):
        def check():
            calls.append(None)
            if len(calls) >= number:
                raise comfy_stand_in.InterruptProcessingException()

        calls.clear()
        return check

    monkeypatch.setattr(management, "throw_exception_if_processing_interrupted", pressed_at(3))
    with pytest.raises(comfy_stand_in.InterruptProcessingException):
        nodes("OmniIDEncodePhotos", omniid=plus_engine, images=square_batch(0, 1, 2, 3, 4))
    assert clip.seen == 2
    # The library reports after each photo: with batches of four there were three photos between two reports.
    stages = []
    engine.encode(
        [photo.numpy() for photo in photo_batch(0, 1, 2, 3, 4)],
        batch_size=1,
        progress=lambda stage, done, total: stages.append((stage, done)),
    )
    encoded = [done for stage, done in stages if stage == omniid.Stage.ENCODE]
    assert encoded == [1, 2, 3, 4, 5]
    from omniid_pack.nodes.photos import batch_size

    assert batch_size(engine) == 1


def test_clip_vision_for_a_native_checkpoint_is_refused(nodes, layout, with_clip):
    with pytest.raises(omniid.UnsupportedError, match="disconnect clip_vision"):
        nodes("OmniIDLoadModel", checkpoint=f"{layout}.safetensors", clip_vision=with_clip[1])
