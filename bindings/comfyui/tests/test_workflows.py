"""The example workflows: the page can open them, both formats say the same, fit the nodes' definitions, and run."""

import json

import graph
import hook_contract
import native_model
import numpy as np
import pytest
import torch
import transformer_contract as contract
from conftest import PACK, ROOT, photo_batch, write_model

EXAMPLES = sorted(path.stem for path in (PACK / "example_workflows").glob("*.json"))
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
ADAPTER = "ip-adapter-plus-face_sd15.safetensors"
IMAGE_ENCODER = "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"
FLUX = "flux1-dev-fp8.safetensors"
FLUX_ADAPTER = "flux-ip-adapter-v2.safetensors"
CLIP_L = "clip-vit-large-patch14.safetensors"
TITLE = 30
"""Height of a node's title in the page, above its position."""


def read(name):
    """A workflow in the format of the page."""
    return json.loads((PACK / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))


def read_api(name):
    """The same workflow in the format of the API."""
    return json.loads((PACK / "api_workflows" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def classes(pack, comfy, unets):
    """Our nodes and the core nodes; the files that the examples name are there, as a native model for the small
    UNet."""
    images = {"example.png": photo_batch(0)}
    shown = []
    known = {**graph.core_nodes(unets["sd15"], images, shown), **pack.NODE_CLASS_MAPPINGS}
    known["CheckpointLoaderSimple"].INPUT_TYPES = classmethod(
        lambda cls: {"required": {"ckpt_name": ([CHECKPOINT, FLUX],)}}
    )
    models = comfy.folder / "models"
    (models / "ipadapter").mkdir(exist_ok=True)
    (models / "clip_vision").mkdir(exist_ok=True)
    if not (models / "ipadapter" / ADAPTER).exists():
        write_model(models / "ipadapter" / ADAPTER, unets["sd15"], "sd15")
        (models / "clip_vision" / IMAGE_ENCODER).touch()
        write_flux(models / "ipadapter" / FLUX_ADAPTER)
        (models / "clip_vision" / CLIP_L).touch()
    return known, shown


def write_flux(path):
    """A native model in the place of XLabs' for the small FLUX."""
    places = [(f"transformer_blocks.{i}.attn", ("double_block", i, 0, i)) for i in range(2)]
    host = [(name, contract.HEADS, contract.HEAD_DIM, contract.CONTEXT) for name, _ in places]
    native_model.write(path, host, token_width=contract.CONTEXT, family="flux", adapter="plain",
                       addresses=[place for _, place in places])  # fmt: skip


@pytest.fixture
def native(monkeypatch, pack):
    """The stand-in for the adapter is a native checkpoint, which needs no image encoder."""
    from omniid_pack import engines

    monkeypatch.setattr(
        engines, "paths", lambda checkpoint, image_encoder, detector: [
            engines.folders.find(checkpoint, [engines.folders.MODELS, "ipadapter"]), None, None
        ],
    )  # fmt: skip


def test_there_are_examples():
    """The page lists every JSON file of this folder as a template and can only open its own format; workflows for the
    API are elsewhere, in a folder that it does not look into."""
    assert EXAMPLES == ["flux", "one_person", "two_people"]
    assert {path.name for path in (PACK / "example_workflows").iterdir()} == {
        f"{name}{kind}" for name in EXAMPLES for kind in (".json", ".jpg")
    }
    assert {path.stem for path in (PACK / "api_workflows").iterdir()} == set(EXAMPLES)
    looked_into = {"example_workflows", "example", "examples", "workflow", "workflows"}
    assert not looked_into & {path.name for path in PACK.iterdir() if path.name != "example_workflows"}
    for name in EXAMPLES:
        workflow = read(name)
        assert isinstance(workflow["version"], (int, float)) and isinstance(workflow["nodes"], list)
        assert "version" not in read_api(name)


def test_the_examples_name_public_files():
    """What people can download, and the picture that ComfyUI brings; the page says where the files are."""
    page = (ROOT / "docs" / "hosts" / "comfyui.md").read_text(encoding="utf-8")
    for name in EXAMPLES:
        named = {value for node in read_api(name).values() for value in node["inputs"].values()
                 if isinstance(value, str) and value.endswith((".safetensors", ".png", ".jpg"))}  # fmt: skip
        files = {FLUX, FLUX_ADAPTER, CLIP_L} if name == "flux" else {CHECKPOINT, ADAPTER, IMAGE_ENCODER}
        assert named == {*files, "example.png"}
        assert all(file in page for file in named - {"example.png"})


def boxes(workflow):
    """Left, top, right and bottom of each node, its title included."""
    return {
        node["id"]: (node["pos"][0], node["pos"][1] - TITLE, node["pos"][0] + node["size"][0],
                     node["pos"][1] + node["size"][1])
        for node in workflow["nodes"]
    }  # fmt: skip


def overlaps(workflow):
    """Pairs of nodes that cover each other."""
    placed = sorted(boxes(workflow).items())
    return [
        (first, second)
        for place, (first, a) in enumerate(placed)
        for second, b in placed[place + 1 :]
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_nodes_do_not_cover_each_other(name, classes):
    workflow = read(name)
    assert overlaps(workflow) == []
    # The check finds what it is to find: a node moved up until its title covers the one above by a pixel.
    loader, model = (next(node for node in workflow["nodes"] if node["id"] == number) for number in (1, 2))
    model["pos"][1] = loader["pos"][1] + loader["size"][1] + TITLE - 1
    assert overlaps(workflow) == [(1, 2)]
    # Each box is at least as high as the page draws it: slots of 20 pixels, widgets of 24.
    for node in read(name)["nodes"]:
        if node["type"] in graph.NOTES:
            continue
        cls = classes[0][node["type"]]
        slots = max(len(graph.sockets(cls)), len(cls.RETURN_TYPES))
        assert node["size"][1] >= 20 * slots + 24 * len(graph.widgets(cls)), node["type"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_picture_shows_the_workflow(name):
    """Drawn again it is the same but for JPEG; the drawing of the other workflow is not."""
    image = pytest.importorskip("PIL.Image")
    import draw_workflows

    with image.open(PACK / "example_workflows" / f"{name}.jpg") as file:
        stored = np.asarray(file.convert("RGB"), dtype=np.float32)

    def difference(other):
        drawn = draw_workflows.draw(read(other), draw_workflows.titles())
        return np.abs(np.asarray(drawn.resize(stored.shape[1::-1]), dtype=np.float32) - stored).mean()

    assert difference(name) < 2.0
    assert difference(next(other for other in EXAMPLES if other != name)) > 10.0


@pytest.mark.parametrize("name", EXAMPLES)
def test_both_formats_say_the_same(name, classes):
    api = read_api(name)
    made = graph.to_api(read(name), classes[0])
    assert {n: (node["class_type"], node["inputs"]) for n, node in api.items()} == {
        n: (node["class_type"], node["inputs"]) for n, node in made.items()
    }
    graph.validate(api, classes[0])


def test_validation_finds_mistakes(classes):
    """The check above can fail: a wrong name, type, value and link."""
    for change in (
        lambda p: p["7"]["inputs"].update(wieght=1.0),
        lambda p: p["6"]["inputs"].update(weight=9.0),
        lambda p: p["6"]["inputs"].update(weight_type="lineal"),
        lambda p: p["6"]["inputs"].update(identity=["1", 0]),
        lambda p: p["6"]["inputs"].pop("model"),
    ):
        prompt = read_api("one_person")
        assert prompt["6"]["class_type"] == "OmniIDApplyIdentity"
        change(prompt)
        with pytest.raises((AssertionError, KeyError)):
            graph.validate(prompt, classes[0])


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name, classes, comfy, native):
    known, shown = classes
    prompt = read_api(name)
    results = graph.execute(prompt, known)
    assert set(results) == set(prompt), "no node is idle"
    (sampler,) = (n for n, node in prompt.items() if node["class_type"] == "KSampler")
    found = results[sampler][0]["samples"]
    plain = {n: dict(node, inputs=dict(node["inputs"])) for n, node in prompt.items()}
    (loader,) = (n for n, node in prompt.items() if node["class_type"] == "CheckpointLoaderSimple")
    plain[sampler]["inputs"]["model"] = [loader, 0]
    without = graph.execute(plain, known, [sampler])[sampler][0]["samples"]
    assert torch.isfinite(found).all() and float((found - without).abs().max()) > 1e-2
    pictures = [inputs["images"] for inputs in shown if "images" in inputs]
    assert all(float(p.min()) >= 0 and float(p.max()) <= 1 and p.shape[-1] == 3 for p in pictures)
    if name != "two_people":
        assert list((comfy.folder / "output" / "omniid").glob("anna_*.omniid"))
    else:
        maps = next(p for p in pictures if p.shape[0] == 2)
        left, right = maps.sum(dim=3).split(maps.shape[2] // 2, dim=2)
        assert float(left[0].mean()) > 4 * float(right[0].mean())
        assert float(right[1].mean()) > 4 * float(left[1].mean())


def test_a_picture_does_not_depend_on_the_batching(classes, unets, nodes, inputs, native):
    """Guidance in one batch, as ComfyUI does where memory suffices, and in two, as it does where it does not."""
    engine = nodes("OmniIDLoadModel", checkpoint=ADAPTER)[0]
    identity = nodes("OmniIDEncodePhotos", omniid=engine, images=photo_batch(0))[0]
    model = hook_contract.patcher(unets["sd15"])
    patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=identity, end_at=0.7)[0]
    x, texts = inputs
    sigmas = [14.6, 8.0, 4.0, 2.0, 1.0, 0.5, 0.0]
    together = hook_contract.sample(patched, x * sigmas[0], sigmas, texts, 5.0)
    apart = x * sigmas[0]
    for sigma, after in zip(sigmas, sigmas[1:]):
        cond, uncond = (hook_contract.run_chunks(patched, apart, sigma, texts, [chunk])[0] for chunk in (0, 1))
        apart = apart + (uncond + (cond - uncond) * 5.0) * (after - sigma)
    assert float((together - apart).abs().max()) <= 1e-4 * float(together.abs().max())
