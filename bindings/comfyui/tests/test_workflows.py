"""The example workflows: both formats say the same, fit the nodes' definitions, and run."""

import json

import graph
import hook_contract
import numpy as np
import pytest
import torch
from conftest import PACK, photo_batch, write_model

EXAMPLES = sorted(path.stem for path in (PACK / "example_workflows").glob("*.json") if not path.stem.endswith("_api"))
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"


def read(name):
    return json.loads((PACK / "example_workflows" / f"{name}.json").read_text())


@pytest.fixture
def classes(pack, comfy, unets):
    """Our nodes and the core nodes; the files that the examples name are there."""
    images = {"anna.jpg": photo_batch(0), "ben.jpg": photo_batch(2)}
    shown = []
    known = {**graph.core_nodes(unets["sd15"], images, shown), **pack.NODE_CLASS_MAPPINGS}
    known["CheckpointLoaderSimple"].INPUT_TYPES = classmethod(lambda cls: {"required": {"ckpt_name": ([CHECKPOINT],)}})
    write_model(comfy.folder / "models" / "omniid" / "omniid.safetensors", unets["sd15"], "sd15")
    return known, shown


def test_there_are_examples():
    assert EXAMPLES == ["one_person", "two_people"]
    assert {path.name for path in (PACK / "example_workflows").iterdir()} == {
        f"{name}{kind}" for name in EXAMPLES for kind in (".json", "_api.json", ".jpg")
    }


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
    api = read(f"{name}_api")
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
        prompt = read("one_person_api")
        assert prompt["6"]["class_type"] == "OmniIDApplyIdentity"
        change(prompt)
        with pytest.raises((AssertionError, KeyError)):
            graph.validate(prompt, classes[0])


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name, classes, comfy):
    known, shown = classes
    prompt = read(f"{name}_api")
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
    if name == "one_person":
        assert list((comfy.folder / "output" / "omniid").glob("anna_*.omniid"))
    else:
        maps = next(p for p in pictures if p.shape[0] == 2)
        left, right = maps.sum(dim=3).split(maps.shape[2] // 2, dim=2)
        assert float(left[0].mean()) > 4 * float(right[0].mean())
        assert float(right[1].mean()) > 4 * float(left[1].mean())


def test_a_picture_does_not_depend_on_the_batching(classes, unets, nodes, inputs):
    """Guidance in one batch, as ComfyUI does where memory suffices, and in two, as it does where it does not."""
    engine = nodes("OmniIDLoadModel", checkpoint="omniid.safetensors")[0]
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
