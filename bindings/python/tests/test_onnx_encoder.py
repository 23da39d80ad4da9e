"""`omniid convert onnx`: a checkpoint's encoders in ONNX Runtime make the tokens that the library makes."""

import json
import os
import subprocess
from pathlib import Path

import pytest

for module in ("onnx", "onnxruntime", "PIL"):
    pytest.importorskip(module)

import native_model  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
from conftest import ROOT  # noqa: E402
from omniid import Engine, FaceEmbedding, Photo  # noqa: E402
from PIL import Image  # noqa: E402

OPERATORS = {
    name
    for line in (Path(__file__).parent / "inference_engine_operators.txt").read_text().splitlines()
    if not line.startswith("#")
    for name in line.split()
}
WIDTH, EMBEDDING = 32, 24
"""Of the small image encoder's hidden states and of its image embedding."""
CONTEXT = 20


def convert(checkpoint, graph, *options, fails=None):
    program = Path(os.environ.get("OMNIID_LIB") or ROOT / "target" / "release") / "omniid"
    if not program.is_file():
        pytest.skip(f"no program at {program}; cargo build --release --workspace makes it")
    model = [] if checkpoint is None else ["-c", checkpoint]
    command = [program, "convert", "onnx", *model, "-o", graph, "--quiet", *options]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert (done.returncode != 0) == (fails is not None), done.stderr
    assert fails is None or fails in done.stderr
    return graph


class Graph:
    """A graph with its description, checked on the way."""

    def __init__(self, path):
        model = onnx.load(path)
        onnx.checker.check_model(str(path), full_check=True)
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 15)]
        assert {node.op_type for node in model.graph.node} <= OPERATORS
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        self.description = json.loads(metadata["omniid.encoder"])
        assert self.description == json.loads(Path(f"{path}.encoder.json").read_text())
        assert self.description["graph"] == path.name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        assert [output.name for output in self.session.get_outputs()] == ["tokens"]

    def pixels(self, pictures):
        """As the description says, of pictures that have the size already."""
        rules = self.description["pixels"]
        assert all(picture.shape == (rules["size"], rules["size"], 3) for picture in pictures)
        scaled = (np.stack(pictures) / 255 - rules["mean"]) / rules["std"]
        return scaled.transpose(0, 3, 1, 2).astype(np.float32)

    def tokens(self, pictures=None, embeddings=None):
        inputs = {} if pictures is None else {"pixels": self.pixels(pictures)}
        if embeddings is not None:
            inputs["embedding"] = np.stack(embeddings)
        (tokens,) = self.session.run(None, inputs)
        rules = self.description["tokens"]
        photos = 1 if rules["per"] == "identity" else len(pictures if pictures is not None else embeddings)
        assert tokens.shape == (photos * rules["count"], rules["width"])
        return tokens


def tokens(encoded):
    return encoded.identity.tokens().numpy().copy()


def close(ours, theirs, limit=1e-4):
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= limit * max(1.0, np.abs(theirs).max())


def test_the_built_in_model(tmp_path, photo_files):
    graph = Graph(convert(None, tmp_path / "encoder.onnx"))
    size = graph.description["pixels"]["size"]
    pictures = [np.asarray(Image.open(path).convert("RGB").resize((size, size))) for path in photo_files]
    engine = Engine.open()
    assert graph.description["model"] == engine.info.fingerprint
    one, three = (tokens(engine.encode(pictures[:count], crop="none")) for count in (1, 3))
    close(graph.tokens(pictures[:1]), one)
    close(graph.tokens(pictures), three)
    assert np.abs(one - three).max() > 1e-2
    # The order of the photos does not matter.
    close(graph.tokens(pictures[::-1]), three)
    half = Graph(convert(None, tmp_path / "half.onnx", "--dtype", "f16"))
    close(half.tokens(pictures), three, 1e-2)
    assert (tmp_path / "half.onnx").stat().st_size < 0.6 * (tmp_path / "encoder.onnx").stat().st_size


def linear(name, outputs, inputs, bias=True):
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def norm(name, width):
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def perceiver(features, width, prefix=""):
    """IP-Adapter's Resampler: two layers, one head of 64."""
    yield from linear(f"{prefix}proj_in", width, features)
    for layer in range(2):
        attention, feed_forward = f"{prefix}layers.{layer}.0", f"{prefix}layers.{layer}.1"
        yield from (*norm(f"{attention}.norm1", width), *norm(f"{attention}.norm2", width))
        yield from (*linear(f"{attention}.to_q", 64, width, False), *linear(f"{attention}.to_kv", 128, width, False))
        yield from linear(f"{attention}.to_out", width, 64, False)
        yield from norm(f"{feed_forward}.0", width)
        yield from linear(f"{feed_forward}.1", 2 * width, width, False)
        yield from linear(f"{feed_forward}.3", width, 2 * width, False)
    yield from (*linear(f"{prefix}proj_out", CONTEXT, width), *norm(f"{prefix}norm_out", CONTEXT))


SIZES = dict(depth=2, heads=1, head_width=64, token_width=CONTEXT)
FACE = dict(embedding_width=512, tokens=4, token_width=CONTEXT)
RESAMPLER = dict(SIZES, width=48, inner_width=96, tokens=6)


def resampler(features):
    return [("latents", (1, 6, 48)), *perceiver(features, 48)]


def mlp(inner):
    return [*linear("proj.0", inner, 512), *linear("proj.2", 4 * CONTEXT, inner), *norm("norm", CONTEXT)]


KINDS = {
    "projection": (
        dict(feature_width=EMBEDDING, tokens=4, token_width=CONTEXT),
        [*linear("proj", 4 * CONTEXT, EMBEDDING), *norm("norm", CONTEXT)],
    ),
    "resampler": (dict(RESAMPLER, feature_width=WIDTH), resampler(WIDTH)),
    "full_face": (
        dict(feature_width=WIDTH, inner_width=WIDTH, token_width=CONTEXT),
        [*linear("proj.0", WIDTH, WIDTH), *linear("proj.2", CONTEXT, WIDTH), *norm("proj.3", CONTEXT)],
    ),
    "face_id": (dict(FACE, inner_width=1024), mlp(1024)),
    "face_id_plus": (
        dict(FACE, **SIZES, projection_width=1024, feature_width=WIDTH, inner_width=2 * CONTEXT, shortcut=True),
        [*mlp(1024), *perceiver(WIDTH, CONTEXT, "perceiver_resampler.")],
    ),
    "instant_id": (dict(RESAMPLER, feature_width=512), resampler(512)),
    "face_id_portrait_unnorm": (dict(RESAMPLER, feature_width=512), resampler(512)),
}
"""Configuration and shapes of each kind of encoder."""
PHOTOS = {"projection", "resampler", "full_face", "face_id_plus"}
FACES = {"face_id", "face_id_plus", "instant_id", "face_id_portrait_unnorm"}


def write(folder, kind, activation):
    """A native checkpoint of a small random CLIP, if the encoder reads one, and the encoder."""
    random = np.random.default_rng(5)
    config, shapes = KINDS[kind]
    whole = {"name": kind, "crop": {"mode": "none"}, "encoder": {"kind": kind, **config}}
    tensors = {}
    if kind in PHOTOS:
        every = native_model.write(folder / "omni_id.safetensors", width=WIDTH, adapter="plain")
        tensors |= {name: array for name, array in every.items() if name.startswith("backbone.")}
        projection = random.normal(0, WIDTH**-0.5, (EMBEDDING, WIDTH))
        tensors["backbone.visual_projection.weight"] = projection.astype(np.float32)
        whole["backbone"] = dict(
            hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=3, num_attention_heads=4, image_size=56,
            patch_size=14, hidden_act=activation, projection_dim=EMBEDDING,
        )  # fmt: skip
    for name, shape in shapes:
        # Raw embeddings are about 20 long, image features about 6.
        scale = shape[-1] ** -0.5 if len(shape) > 1 else 0.3
        values = random.normal(0, scale, shape) + (len(shape) == 1 and name.endswith("weight"))
        tensors[f"encoder.{name}"] = values.astype(np.float32)
    path = folder / f"{kind}.safetensors"
    native_model.write_safetensors(path, tensors, {"omniid.format": "1", "omniid.config": json.dumps(whole)})
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_published_kinds(kind, activation, tmp_path):
    checkpoint = write(tmp_path, kind, activation)
    graph = Graph(convert(checkpoint, tmp_path / "encoder.onnx"))
    engine = Engine.open(checkpoint)
    random = np.random.default_rng(6)
    pictures = [native_model.picture(seed, 56, 56) for seed in range(3)] if kind in PHOTOS else None
    embeddings = list(random.normal(0, 0.9, (3, 512)).astype(np.float32)) if kind in FACES else None
    inputs = [entry.name for entry in graph.session.get_inputs()]
    assert inputs == ["pixels"] * (kind in PHOTOS) + ["embedding"] * (kind in FACES)
    network = graph.description["embedding"]["network"] if kind in FACES else ""
    for count in (1, 3):
        faces = [FaceEmbedding(values, network) for values in embeddings[:count]] if embeddings else None
        photos = faces or pictures[:count]
        if faces and pictures:
            photos = [Photo(picture, embedding=face) for picture, face in zip(pictures, faces)]
        theirs = tokens(engine.encode(photos, crop="none" if pictures else "default"))
        ours = graph.tokens(pictures and pictures[:count], embeddings and embeddings[:count])
        close(ours, theirs)
        assert np.abs(np.diff(ours, axis=0)).max() > 1e-2


def test_no_face_gives_numbers(tmp_path):
    """Zeros are "no identity" of FaceID."""
    graph = Graph(convert(write(tmp_path, "face_id", "gelu"), tmp_path / "encoder.onnx"))
    assert np.isfinite(graph.tokens(embeddings=[np.zeros(512, np.float32)])).all()


def test_kinds_without_a_graph_are_refused_before_other_files_are_asked_for(tmp_path):
    for module in ("torch", "diffusers", "safetensors"):
        pytest.importorskip(module)
    import test_sd3
    from safetensors.torch import save_file

    path = tmp_path / "ip-adapter.safetensors"
    groups = test_sd3.adapter().items()
    save_file({f"{group}.{name}": tensor for group, tensors in groups for name, tensor in tensors.items()}, path)
    convert(path, tmp_path / "a.onnx", fails="the encoder is that of InstantX SD3.5")


def test_errors_leave_nothing(tmp_path, model_path):
    convert(model_path, tmp_path / "nowhere" / "a.onnx", fails="nowhere")
    convert(model_path, tmp_path / "a.onnx", "--dtype", "bf16", fails="bf16")
    assert not list(tmp_path.iterdir())
