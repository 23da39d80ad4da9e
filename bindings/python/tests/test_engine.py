"""Engines, photos and identities."""

import io
import json
from pathlib import Path

import native_model
import numpy as np
import omniid
import pytest
from omniid import ConditioningInput, Crop, Engine, Identity, Photo


def tokens(identity):
    return identity.tokens().numpy()


def test_an_engine_says_what_it_is(engine):
    info = engine.info
    assert (info.name, info.host, info.host_layer_count) == ("random", "test", 2)
    assert (info.tokens, info.token_width, info.image_size) == (6, 24, 56)
    assert info.encoder == omniid.EncoderKind.OMNI_ID and info.precision == omniid.Precision.F32
    assert info.has_adapter and info.has_detector and info.device == "cpu"
    assert [(x.name, x.heads, x.head_dim, x.context) for x in engine.host_layers] == native_model.HOST
    assert "random" in repr(engine)


def test_without_a_checkpoint_the_model_in_the_library_opens(engine):
    with Engine.open() as built_in:
        info = built_in.info
        assert info.encoder == omniid.EncoderKind.OMNI_ID and info.has_detector and info.has_adapter
        assert info.fingerprint != engine.info.fingerprint


def test_path_and_bytes_open_the_same_model(model_path, engine, photos):
    data = model_path.read_bytes()
    for source in (data, bytearray(data), memoryview(data), str(model_path)):
        with Engine.open(source) as other:
            assert other.info == engine.info
            assert np.array_equal(tokens(other.encode(photos[0]).identity), tokens(engine.encode(photos[0]).identity))


def test_every_kind_of_photo_gives_the_same_tokens(engine, photos, tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    array = photos[0]
    image = pillow.fromarray(array)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    (tmp_path / "ä b.png").write_bytes(stream.getvalue())
    expected = tokens(engine.encode(array).identity)
    wide = np.zeros((array.shape[0], 100, 3), dtype=np.uint8)
    wide[:, 7 : 7 + array.shape[1]] = array
    alpha = np.dstack([array, np.full(array.shape[:2], 9, np.uint8)])
    rotated = pillow.fromarray(np.rot90(array).copy())
    exif = rotated.getexif()
    exif[0x0112] = 6  # the camera was turned: show it turned back
    turned = io.BytesIO()
    rotated.save(turned, "PNG", exif=exif)
    sources = {
        "path": tmp_path / "ä b.png",
        "text": str(tmp_path / "ä b.png"),
        "bytes": stream.getvalue(),
        "pillow": image,
        "pillow with alpha": image.convert("RGBA"),
        "part of a wider array": wide[:, 7 : 7 + array.shape[1]],
        "columns first": np.asfortranarray(array),
        "reversed twice": array[::-1].copy()[::-1],
        "alpha": alpha,
        "bgr": Photo(array[:, :, ::-1], channel_order="bgr"),
        "orientation, file": turned.getvalue(),
        "orientation, pillow": pillow.open(io.BytesIO(turned.getvalue())),
    }
    for name, source in sources.items():
        assert np.array_equal(tokens(engine.encode([source]).identity), expected), name
    for kind in (np.float32, np.float64):
        near = tokens(engine.encode(array.astype(kind) / 255).identity)
        assert np.abs(near - expected).max() < 1e-4


def test_grey_arrays_count_as_colour(engine, photos):
    grey = photos[0][:, :, 0]
    colour = np.dstack([grey] * 3)
    assert np.array_equal(tokens(engine.encode(grey).identity), tokens(engine.encode(colour).identity))


def test_reports_name_what_was_left_out(engine, photos, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    identity, reports = engine.encode([photos[0], tmp_path / "broken.jpg", photos[1]])
    assert [report.used for report in reports] == [True, False, True]
    assert reports[1].name.endswith("broken.jpg") and reports[1].reason
    assert reports[1].status == omniid.Status.FORMAT and identity.info.photos == 2
    with pytest.raises(omniid.FormatError, match="broken.jpg"):
        engine.encode([photos[0], tmp_path / "broken.jpg"], bad_photo="fail")


@pytest.mark.parametrize(("person", "other", "place"), [(1, 5, 0), (2, 5, 1), (6, 3, 3)])
def test_strangers_are_in_the_reports(person, other, place):
    engine = omniid.Engine.open()
    folder = Path(__file__).resolve().parents[3] / "examples" / "photos"
    photos = [folder / f"person-{person}" / f"0{number}.jpg" for number in (1, 2, 4)]
    photos.insert(place, folder / f"person-{other}" / "01.jpg")
    identity, reports = engine.encode(photos)
    for index, report in enumerate(reports):
        assert ("looks like somebody else" in report.reason) == (index == place), report
        assert report.used and -1 <= report.similarity <= 1 and report.rotation == 0
    assert min(range(4), key=lambda index: reports[index].similarity) == place
    assert identity.info.photos == 4
    fewer, reports = engine.encode(photos, strangers="leave_out")
    assert fewer.info.photos == 3 and reports[place].status == omniid.Status.MISMATCH
    _, reports = engine.encode(photos, strangers=omniid.Strangers.IGNORE)
    assert all(report.used and report.similarity is None for report in reports)
    with pytest.raises(omniid.InvalidArgumentError, match="strangers"):
        engine.encode(photos, strangers="eject")


def test_extending_equals_encoding_all_at_once(engine, photos):
    first = engine.encode(photos[:1], label="Anna", consent="yes").identity
    longer, reports = engine.extend(first, photos[1:])
    assert len(reports) == 2 and longer.info.photos == 3
    assert (longer.label, longer.info.consent) == ("Anna", "yes")
    assert np.array_equal(tokens(longer), tokens(engine.encode(photos).identity))
    with pytest.raises(omniid.UnsupportedError):
        engine.extend(first.without_features(), photos[1:])


def test_identities_are_saved_and_loaded(engine, identity, tmp_path):
    path = tmp_path / "Änna.omniid"
    identity.save(path)
    loaded = Identity.load(path)
    assert path.read_bytes() == identity.to_bytes()
    assert loaded.info == identity.info and np.array_equal(tokens(loaded), tokens(identity))
    half = Identity.from_bytes(identity.to_bytes("f16"))
    assert len(identity.to_bytes("f16")) < len(identity.to_bytes())
    assert np.array_equal(tokens(half), tokens(identity).astype(np.float16).astype(np.float32))
    assert engine.similarity(identity, loaded) == pytest.approx(1.0, abs=1e-6)
    noted = identity.with_notes(consent="portraits only")
    assert (noted.label, noted.info.consent) == ("Anna", "portraits only")
    assert "Anna" in repr(noted)
    with pytest.raises(omniid.FormatError):
        Identity.from_bytes(b"not an identity")


def test_similarity_is_the_cosine_of_the_tokens(engine, photos, identity):
    other = engine.encode(photos[2]).identity
    a, b = tokens(identity).ravel().astype(np.float64), tokens(other).ravel().astype(np.float64)
    cosine = a @ b / np.sqrt((a @ a) * (b @ b))
    assert engine.similarity(identity, other) == pytest.approx(cosine, abs=1e-5)


def test_comparison_vectors_have_the_similarity_as_their_product(engine, photos, identity):
    other = engine.encode(photos[2]).identity
    a, b = (engine.comparison_vector(item).numpy() for item in (identity, other))
    assert a.dtype == np.float32 and a.ndim == 1 and a.shape == b.shape
    assert np.linalg.norm(a) == pytest.approx(1.0, abs=1e-6)
    assert a @ b == pytest.approx(engine.similarity(identity, other), abs=1e-6)


def test_features_and_an_identity_of_them_are_an_encoding(engine, photos):
    found = engine.photo_features([photos[0], b"no photo", Photo(photos[1], name="the third")])
    assert [report.used for report in found.photos] == [True, False, True]
    assert [report.name for report in found.photos] == ["photo in memory", "photo in memory", "the third"]
    assert found.features.shape[0] == 2 and found.features.dtype == np.float32
    identity = engine.identity_from_features(found.features, label="Anna")
    expected = engine.encode(photos[:2]).identity
    assert np.array_equal(tokens(identity), tokens(expected))
    assert identity.label == "Anna" and identity.info.photos == identity.info.features == 2
    assert engine.identity_from_features(found.features, drop_features=True).info.features == 0
    # In another type, with strides, and combined.
    strided = np.repeat(found.features, 2, axis=2)[:, :, ::2]
    assert np.array_equal(tokens(engine.identity_from_features(strided)), tokens(expected))
    half = tokens(engine.identity_from_features(found.features.astype(np.float16)))
    assert np.abs(half - tokens(expected)).max() < 1e-2
    mean = engine.identity_from_features(found.features.mean(axis=0, keepdims=True))
    assert mean.info.photos == 1 and not np.array_equal(tokens(mean), tokens(expected))


def test_features_that_do_not_fit_are_refused(engine, photos):
    features = engine.photo_features(photos[0]).features
    for wrong in (features[0], features[:, 1:], features[:, :, :-1]):
        with pytest.raises(omniid.MismatchError, match=r"this model needs \[photos, "):
            engine.identity_from_features(wrong)
    with pytest.raises(omniid.InvalidArgumentError, match="0 photos"):
        engine.identity_from_features(features[:0])
    broken = np.repeat(features, 2, axis=0)
    broken[1, 0, 3] = np.nan
    with pytest.raises(omniid.InvalidArgumentError, match="photo 1 is not finite"):
        engine.identity_from_features(broken)


def test_a_deferred_image_encoder_makes_the_same_identities(engine, model_path, photos, identity):
    """It is loaded by the first photo; stored identities and features do without."""
    with Engine.open(model_path, defer_image_encoder=True) as other:
        assert other.info == engine.info
        features = engine.photo_features(photos[:2]).features
        assert np.array_equal(
            tokens(other.identity_from_features(features)), tokens(engine.identity_from_features(features))
        )
        assert np.array_equal(tokens(other.encode(photos[0]).identity), tokens(engine.encode(photos[0]).identity))
        assert other.similarity(identity, identity) == pytest.approx(1.0, abs=1e-6)


def test_a_face_may_be_given_by_hand(engine, photos):
    box = Photo(photos[0], face=(10, 12, 50, 60))
    _, (report,) = engine.encode(box, crop=Crop.FACE, crop_margin=0.0)
    assert report.face is not None and report.face.bounds == (10, 12, 50, 60)
    points = [(20, 20), (45, 20), (32, 35), (22, 50), (43, 50)]
    _, (report,) = engine.encode(Photo(photos[0], face=points), crop="aligned")
    assert report.face.landmarks == tuple((float(x), float(y)) for x, y in points)
    assert engine.detect_faces(photos[0]) == []  # with the detector inside the library
    with pytest.raises(omniid.InvalidArgumentError, match="crop mode face"):
        engine.encode(Photo(photos[0], face=1), crop="none")
    with pytest.raises(omniid.NoFaceError):
        engine.encode(Photo(photos[0], face=1))


def test_wrong_values_are_refused_with_their_name(engine, photos, identity, tmp_path):
    wrong = [
        (lambda: Engine.open(tmp_path / "nothing"), omniid.IoError, "nothing"),
        (lambda: Engine.open(b"short"), omniid.FormatError, ""),
        (lambda: Engine.open(3), omniid.InvalidArgumentError, "checkpoint"),
        (lambda: Engine.open(b"x", device="tpu"), omniid.InvalidArgumentError, "tpu"),
        (lambda: Engine.open(b"x", precision="f8"), omniid.InvalidArgumentError, "'bf16'"),
        (lambda: Engine.open("a\0b"), omniid.InvalidArgumentError, "NUL"),
        (lambda: engine.encode([]), omniid.InvalidArgumentError, "photo"),
        (lambda: engine.encode(7), omniid.InvalidArgumentError, "of type int"),
        (lambda: engine.encode("nowhere.jpg"), OSError, "nowhere.jpg"),
        (lambda: engine.encode(np.zeros((4, 4, 5), np.uint8)), omniid.InvalidArgumentError, "(4, 4, 5)"),
        (lambda: engine.encode(np.zeros((4, 4, 3), np.int32)), omniid.InvalidArgumentError, "int32"),
        (lambda: engine.encode(np.zeros((0, 4, 3), np.uint8)), omniid.InvalidArgumentError, "no pixels"),
        (lambda: engine.encode(Photo(photos[0], face="left")), omniid.InvalidArgumentError, "left"),
        (lambda: engine.encode(Photo(photos[0], face=(1, 2, 3))), omniid.InvalidArgumentError, "3 numbers"),
        (lambda: engine.encode(photos[0], crop="oval"), omniid.InvalidArgumentError, "'aligned'"),
        (lambda: engine.encode(photos[0], label="a\0b"), omniid.InvalidArgumentError, "label"),
        (lambda: engine.encode(photos[0], batch_size=2**40), omniid.InvalidArgumentError, f"1 to {2**32 - 1}"),
        (lambda: engine.encode(photos[0], crop="none", crop_margin=0.3), omniid.InvalidArgumentError, "CROP_FACE"),
        (lambda: engine.encode(photos[0], crop_scale=0.5), omniid.InvalidArgumentError, "CROP_ALIGNED"),
        (lambda: engine.extend("Anna", photos), omniid.InvalidArgumentError, "str"),
        (lambda: engine.condition([]), omniid.InvalidArgumentError, ""),
        (lambda: engine.condition(engine), omniid.InvalidArgumentError, "Engine"),
        (lambda: engine.condition(ConditioningInput(identity, mask=np.zeros(3))), omniid.InvalidArgumentError, "mask"),
        (lambda: engine.condition(identity, weight_type="none"), omniid.InvalidArgumentError, "'linear'"),
        (lambda: engine.condition(identity, weight_type="composition"), omniid.UnsupportedError, ""),
        (lambda: engine.condition(identity, layer_scales=[1.0]), omniid.OmniIdError, ""),
        (lambda: engine.condition(identity, layer_scales=[]), omniid.InvalidArgumentError, "layer_scales is set"),
        (lambda: engine.condition(identity, style_boost=0.5), omniid.InvalidArgumentError, "style transfer precise"),
    ]
    for call, kind, words in wrong:
        with pytest.raises(kind) as caught:
            call()
        assert words in str(caught.value)


def test_limits_hold(model_path, photos):
    with Engine.open(model_path, max_pixels=100) as small:
        with pytest.raises(omniid.LimitExceededError):
            small.encode(photos[0])


def test_public_files_need_their_image_encoder_and_host(tmp_path):
    random = np.random.default_rng(1)
    adapter = {
        "image_proj.proj.weight": random.normal(size=(4 * 20, 12)),
        "image_proj.proj.bias": random.normal(size=80),
        "image_proj.norm.weight": np.ones(20),
        "image_proj.norm.bias": np.zeros(20),
        "ip_adapter.0.to_k_ip.weight": random.normal(size=(16, 20)),
        "ip_adapter.0.to_v_ip.weight": random.normal(size=(16, 20)),
    }
    path = tmp_path / "ip-adapter.safetensors"
    native_model.write_safetensors(path, {name: array.astype(np.float32) for name, array in adapter.items()})
    with pytest.raises(omniid.OmniIdError, match="image encoder"):
        Engine.open(path)
    vision = {key.removeprefix("backbone."): value for key, value in native_tensors(tmp_path).items()
              if key.startswith("backbone.")}  # fmt: skip
    vision["visual_projection.weight"] = random.normal(size=(12, 32)).astype(np.float32)
    native_model.write_safetensors(tmp_path / "vision.safetensors", vision)
    config = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
              "image_size": 56, "patch_size": 14, "hidden_act": "gelu", "projection_dim": 12}  # fmt: skip
    layers = [omniid.HostLayer("only", 2, 8, 20)]
    for given in (config, json.dumps(config)):
        with Engine.open(path, image_encoder=tmp_path / "vision.safetensors", image_encoder_config=given, host="mine",
                         host_layers=layers) as engine:  # fmt: skip
            assert engine.info.encoder == omniid.EncoderKind.PROJECTION and engine.host_layers == tuple(layers)
            identity = engine.encode(native_model.picture()).identity
            assert identity.tokens().shape == (4, 20)


def native_tensors(folder):
    """The tensors of the native model, read by hand."""
    data = native_model.write(folder / "native.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__")
    return {name: np.frombuffer(data, np.float32, offset=8 + size + item["data_offsets"][0],
                                count=int(np.prod(item["shape"]))).reshape(item["shape"])
            for name, item in header.items()}  # fmt: skip
