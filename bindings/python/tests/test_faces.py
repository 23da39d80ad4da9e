"""Face networks and embeddings in Python, with the small random networks of the parity tests."""

import native_model
import numpy as np
import omniid
import pytest
from conftest import ROOT

NETWORKS = ROOT / "tests" / "fixtures" / "parity" / "recogniser"
POINTS = [20.0, 30.0, 50.0, 30.0, 35.0, 45.0, 24.0, 60.0, 46.0, 60.0]


@pytest.fixture(scope="module")
def engine(model_path):
    return omniid.Engine.open(model_path, face_recogniser=NETWORKS / "sface" / "model.onnx")


def test_embeddings_and_likeness(engine, model_path):
    info = engine.info
    assert info.face_recogniser.startswith("SFace") and info.face_recogniser_licence
    assert (info.face_dimension, info.face_network, info.has_lora) == (0, None, False) and engine.lora is None
    photos = [omniid.Photo(native_model.picture(seed), face=POINTS) for seed in (1, 2)]
    first, second = (engine.face_embedding(photo) for photo in photos)
    assert first.ndim == 1 and first.dtype == np.float32 and not np.allclose(first, second)
    identity = engine.encode(photos[:1]).identity
    with pytest.raises(omniid.InvalidArgumentError, match='combine "average" is for models that read each photo'):
        engine.encode(photos, combine="average")
    kept = engine.encode(photos).identity
    assert (kept.info.embeddings, kept.info.combine, kept.info.shortcut_scale) == (2, omniid.Combine.CONCATENATE, 1.0)
    for i, values in enumerate((first, second)):
        embedding = kept.embedding(i)
        assert embedding.form is omniid.EmbeddingForm.RAW and embedding.network.startswith("SFace")
        np.testing.assert_array_equal(embedding.values, values)
    with pytest.raises(omniid.InvalidArgumentError, match="2"):
        kept.embedding(2)
    with pytest.raises(omniid.InvalidArgumentError, match="photo is -1"):
        kept.embedding(-1)
    without = kept.without_features()
    assert without.info.embeddings == 0 and without.embedding(0) is None

    def cosine(a, b):
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    for photo, values in ((photos[0], first), (photos[1], second)):
        likeness = engine.likeness(identity, photo)
        assert likeness.photos == 1 and likeness.mean == likeness.best
        assert abs(likeness.mean - cosine(first, values)) <= 1e-5
    with pytest.raises(omniid.UnsupportedError, match="recognis"):
        omniid.Engine.open(model_path).face_embedding(photos[0])


def test_orientation_histograms(model_path, tmp_path):
    photos = [omniid.Photo(native_model.picture(seed), face=POINTS) for seed in (1, 2)]
    with pytest.raises(omniid.UnsupportedError, match="fit-histograms"):
        omniid.Engine.open(model_path).histogram_vector(photos[0])
    engine = omniid.Engine.open(native_model.write(tmp_path / "histograms.safetensors", histograms=5))
    first, second = (engine.histogram_vector(photo) for photo in photos)
    assert first.shape == (5,) and first.dtype == np.float32
    for vector in (first, second):
        assert abs(float(vector @ vector) - 1) <= 1e-5
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, engine.histogram_vector(photos[0]))


def test_keypoints():
    picture = omniid.draw_keypoints(np.reshape(POINTS, (5, 2)), (80, 72))
    assert picture.shape == (80, 72, 3) and picture.dtype == np.uint8
    # Circles of radius 10 in the colours of InstantID; black elsewhere.
    assert picture[30, 20].any() and picture[60, 46].any() and not picture[0, 0].any()
    with pytest.raises(omniid.InvalidArgumentError, match="5|five"):
        omniid.draw_keypoints([1.0, 2.0], (80, 72))
    with pytest.raises(omniid.InvalidArgumentError, match="size"):
        omniid.draw_keypoints(POINTS, (0, 72))


def test_wrong_embeddings(engine):
    wrong = omniid.FaceEmbedding([1.0, 2.0], "no such network")
    with pytest.raises(omniid.OmniIdError, match="no such network"):
        engine.encode(omniid.Photo(native_model.picture(1), embedding=wrong))
    with pytest.raises(omniid.InvalidArgumentError, match="form"):
        engine.encode(omniid.FaceEmbedding([1.0] * 512, "glintr100", "unknown"))


def test_face_masks_are_for_pulid_alone(engine):
    for mask in (np.full((48, 64), 255, np.uint8), np.ones((48, 64), bool), np.ones((48, 64))):
        with pytest.raises(omniid.InvalidArgumentError, match="only PuLID"):
            engine.encode(omniid.Photo(native_model.picture(1), face_mask=mask))
    with pytest.raises(omniid.InvalidArgumentError, match="height, width"):
        engine.encode(omniid.Photo(native_model.picture(1), face_mask=np.ones(5)))
