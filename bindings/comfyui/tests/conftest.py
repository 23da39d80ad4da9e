"""Fixtures: the node pack, loaded as ComfyUI loads it, tiny models of both layouts, and photos."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
# The pack as it was installed, or the sources.
PACK = Path(os.environ.get("OMNIID_COMFYUI_PACK", HERE.parent)).resolve()
sys.path[:0] = [str(HERE), str(ROOT / "bindings" / "python" / "tests")]

import comfy_stand_in  # noqa: E402
import hook_contract  # noqa: E402
import native_model  # noqa: E402
import torch  # noqa: E402

# What the pack must have, for tests that need the names before it is imported.
WEIGHT_TYPES = [
    "linear", "ease in", "ease out", "ease in-out", "reverse in-out", "weak input", "weak output", "weak middle",
    "strong middle", "style transfer", "composition", "strong style transfer", "style and composition",
    "strong style and composition", "style transfer precise", "composition precise",
]  # fmt: skip


@pytest.fixture(scope="session")
def comfy(tmp_path_factory):
    """The stand-in of ComfyUI's modules; its folders hold models of both layouts."""
    folder = tmp_path_factory.mktemp("ComfyUI")
    switches = comfy_stand_in.install(folder)
    switches.folder = folder
    models = folder / "models" / "omniid"
    models.mkdir()
    for name, unet in (("sd15", hook_contract.sd15()), ("sdxl", hook_contract.sdxl())):
        write_model(models / f"{name}.safetensors", unet, name)
    return switches


@pytest.fixture(scope="session")
def pack(comfy):
    """The pack, imported by its folder under a name of its own, as ComfyUI does it."""
    spec = importlib.util.spec_from_file_location(
        "omniid_pack", PACK / "__init__.py", submodule_search_locations=[str(PACK)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["omniid_pack"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def nodes(pack):
    """Calls a node by its name: its inputs with their defaults, and those given."""

    def call(name, **inputs):
        cls = pack.NODE_CLASS_MAPPINGS[name]
        known = cls.INPUT_TYPES()
        settings = {}
        for group in ("required", "optional"):
            for key, spec in known.get(group, {}).items():
                if key in inputs:
                    settings[key] = inputs.pop(key)
                elif len(spec) > 1 and "default" in spec[1]:
                    settings[key] = spec[1]["default"]
                elif isinstance(spec[0], list):
                    settings[key] = spec[0][0]
                else:
                    assert group == "optional", f"{name} needs {key}"
        assert not inputs, f"{name} has no inputs {list(inputs)}"
        result = getattr(cls(), cls.FUNCTION)(**settings)
        return result["result"] if isinstance(result, dict) else result

    return call


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def adapter_order(unet, depth=None):
    """Addresses in the order of adapter checkpoints, the middle block last, with the transformers' execution order."""
    blocks = [("input", i, part) for i, part in enumerate(unet.input_blocks)]
    blocks += [("middle", 0, unet.middle_block)]
    blocks += [("output", i, part) for i, part in enumerate(unet.output_blocks)]
    found, execution = [], 0
    for block, number, parts in blocks:
        for part in parts:
            if isinstance(part, hook_contract.SpatialTransformer):
                for index, layer in enumerate(part.transformer_blocks):
                    found.append(((block, number, index, execution), layer.attn2))
                execution += 1
    return sorted(found, key=lambda entry: entry[0][0] == "middle")


def write_model(path, unet, family, seed=7):
    layers = adapter_order(unet)
    host = [(f"{b}.{n}.{i}", attn.heads, attn.dim_head, hook_contract.CONTEXT) for (b, n, i, _), attn in layers]
    return native_model.write(path, host=host, seed=seed, family=family, addresses=[address for address, _ in layers])


@pytest.fixture(scope="session", params=["sd15", "sdxl"])
def layout(request):
    return request.param


@pytest.fixture(scope="session")
def unets():
    return {"sd15": hook_contract.sd15(), "sdxl": hook_contract.sdxl()}


@pytest.fixture
def model(layout, unets):
    """A ModelPatcher with nothing in it."""
    return hook_contract.patcher(unets[layout])


@pytest.fixture(scope="session")
def engine(layout, nodes):
    return nodes("OmniIDLoadModel", checkpoint=f"{layout}.safetensors")[0]


def photo_batch(*seeds):
    """Photos as ComfyUI has them: `[batch, height, width, 3]` from 0 to 1."""
    return torch.stack([torch.from_numpy(native_model.picture(seed)).float() / 255 for seed in seeds])


@pytest.fixture(scope="session")
def anna(engine, nodes):
    return nodes("OmniIDEncodePhotos", omniid=engine, images=photo_batch(0, 1), label="Anna")[0]


@pytest.fixture(scope="session")
def ben(engine, nodes):
    return nodes("OmniIDEncodePhotos", omniid=engine, images=photo_batch(2), label="Ben")[0]


@pytest.fixture(scope="session")
def inputs():
    """Latents, and text of the conditional and the unconditional side."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 4, 12, 8, generator=generator)
    texts = {chunk: torch.randn(1, 7, hook_contract.CONTEXT, generator=generator) for chunk in (0, 1)}
    return x, texts
