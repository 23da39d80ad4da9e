"""The nodes by themselves: conventions, photos, files, errors, cancelling, memory."""

import os
import re
import shutil
import threading

import comfy_stand_in
import numpy as np
import omniid
import pytest
import torch
from conftest import PACK, ROOT, WEIGHT_TYPES, photo_batch
from hook_contract import run_chunks


def test_definitions_keep_comfyuis_conventions(pack):
    assert set(pack.NODE_CLASS_MAPPINGS) == set(pack.NODE_DISPLAY_NAME_MAPPINGS)
    types = {"MODEL", "IMAGE", "MASK", "LATENT", "STRING", "INT", "FLOAT", "BOOLEAN", "OMNIID_MODEL", "OMNIID_IDENTITY",
             "OMNIID_PEOPLE", "OMNIID_OPTIONS", "OMNIID_WATCH", "EMBEDS", "CLIP_VISION",
             "OMNIID_FACES", "CONTROL_NET", "CONDITIONING"}  # fmt: skip
    made, wanted = set(), set()
    for name, node in pack.NODE_CLASS_MAPPINGS.items():
        assert name.startswith("OmniID") and pack.NODE_DISPLAY_NAME_MAPPINGS[name].endswith("(OmniID)")
        assert node.CATEGORY == "OmniID" and node.DESCRIPTION.endswith(".")
        assert callable(getattr(node, node.FUNCTION))
        assert len(node.RETURN_TYPES) == len(node.OUTPUT_TOOLTIPS)
        assert len(getattr(node, "RETURN_NAMES", node.RETURN_TYPES)) == len(node.RETURN_TYPES)
        made |= set(node.RETURN_TYPES)
        inputs = node.INPUT_TYPES()
        assert set(inputs) <= {"required", "optional", "hidden"}
        for key, (kind, settings) in {**inputs["required"], **inputs.get("optional", {})}.items():
            assert settings["tooltip"].endswith("."), (name, key)
            assert isinstance(kind, list) or kind in types, (name, key)
            if isinstance(kind, str):
                wanted.add(kind)
            if "default" in settings and isinstance(kind, list):
                assert settings["default"] in kind, (name, key)
            if kind in ("INT", "FLOAT"):
                assert settings["min"] <= settings["default"] <= settings["max"], (name, key)
    assert {kind for kind in wanted if kind.startswith("OMNIID")} == {
        kind for kind in made if kind.startswith("OMNIID")
    }


def test_weight_types_are_those_of_the_library(pack):
    from omniid_pack import people

    assert people.WEIGHT_TYPES == WEIGHT_TYPES
    assert len(people.WEIGHT_TYPES) == len(omniid.WeightType) == len(set(people.WEIGHT_TYPES))
    for name in people.WEIGHT_TYPES:
        assert omniid.WeightType[re.sub("[ -]", "_", name).upper()] in omniid.WeightType
    assert [re.sub(" ", "_", name).upper() for name in people.UNCONDITIONAL] == [u.name for u in omniid.Unconditional]
    assert [name.upper() for name in people.EMBEDS_SCALING.values()] == [s.name for s in omniid.EmbedsScaling]


def test_photos_are_encoded_as_the_package_does(engine, nodes):
    images = photo_batch(0, 1)
    identity, report = nodes("OmniIDEncodePhotos", omniid=engine, images=images, label="Anna")
    expected = engine.encode([image.numpy() for image in images]).identity
    assert np.array_equal(identity.tokens().numpy(), expected.tokens().numpy())
    assert identity.info.photos == 2 and identity.label == "Anna"
    assert [line.split(": ")[:2] for line in report.splitlines()] == [
        ["image 1 of the batch", "used"],
        ["image 2 of the batch", "used"],
    ]
    assert comfy_stand_in.ProgressBar.shown[-1] == (2, 2)


def test_a_folder_of_photos(engine, nodes, comfy, pack):
    folder = comfy.folder / "input" / "anna"
    folder.mkdir(exist_ok=True)
    photos = sorted((ROOT / "examples" / "photos" / "person-1").glob("*.jpg"))[:2]
    for photo in photos:
        shutil.copy(photo, folder)
    (folder / "notes.txt").write_text("not a photo")
    identity, report = nodes("OmniIDEncodePhotos", omniid=engine, folder="anna")
    expected = engine.encode(photos).identity
    assert np.array_equal(identity.tokens().numpy(), expected.tokens().numpy())
    both = nodes("OmniIDEncodePhotos", omniid=engine, folder="anna", images=photo_batch(0))[0]
    assert both.info.photos == 3
    node = pack.NODE_CLASS_MAPPINGS["OmniIDEncodePhotos"]
    before = node.IS_CHANGED(folder="anna", crop="default")
    assert before == node.IS_CHANGED(folder="anna", crop="default")
    os.utime(folder / photos[0].name, ns=(1, 1))
    assert before != node.IS_CHANGED(folder="anna", crop="default")
    assert node.IS_CHANGED(crop="default") == ""
    assert node.VALIDATE_INPUTS(folder="anna") is True
    assert "there is no folder 'nowhere'" in node.VALIDATE_INPUTS(folder="nowhere")
    (comfy.folder / "input" / "empty").mkdir(exist_ok=True)
    assert "no photos" in node.VALIDATE_INPUTS(folder="empty")
    with pytest.raises(omniid.InvalidArgumentError, match="connect images"):
        nodes("OmniIDEncodePhotos", omniid=engine)


def test_a_photo_that_cannot_be_used_is_reported(engine, nodes, comfy, pack):
    folder = comfy.folder / "input" / "broken"
    folder.mkdir(exist_ok=True)
    shutil.copy(next((ROOT / "examples" / "photos" / "person-1").glob("*.jpg")), folder / "a.jpg")
    (folder / "b.jpg").write_bytes(b"no picture")
    node = pack.NODE_CLASS_MAPPINGS["OmniIDEncodePhotos"]()
    answer = node.encode(engine, "default", "skip", "", folder="broken")
    identity, report = answer["result"]
    assert identity.info.photos == 1
    first, second = report.splitlines()
    assert first == "broken/a.jpg: used" and second.startswith("broken/b.jpg: left out, broken/b.jpg: ")
    assert str(comfy.folder) not in report, "where the server keeps its files is nobody's business"
    # The page shows the report on the node, and what was left out as a warning.
    assert answer["ui"] == {"text": [report], "warning": [second]}
    with pytest.raises(omniid.OmniIdError, match="b.jpg"):
        nodes("OmniIDEncodePhotos", omniid=engine, folder="broken", bad_photo="fail")


def test_extending_equals_encoding_at_once(engine, nodes):
    first = nodes("OmniIDEncodePhotos", omniid=engine, images=photo_batch(0))[0]
    longer = nodes("OmniIDExtendIdentity", omniid=engine, identity=first, images=photo_batch(1, 2))[0]
    at_once = nodes("OmniIDEncodePhotos", omniid=engine, images=photo_batch(0, 1, 2))[0]
    assert longer.info.photos == 3
    assert np.abs(longer.tokens().numpy() - at_once.tokens().numpy()).max() <= 1e-5


def test_saving_and_loading(engine, nodes, comfy, pack, anna):
    node = pack.NODE_CLASS_MAPPINGS["OmniIDSaveIdentity"]()
    files = [node.save(anna, "omniid/anna", "f32", True)["ui"]["text"][0] for _ in range(2)]
    assert files == [os.path.join("omniid", f"anna_0000{i}_.omniid") for i in (1, 2)] or len(set(files)) == 2
    assert (comfy.folder / "output" / files[0]).stat().st_size > 0
    name = os.path.basename(files[0])
    loader = pack.NODE_CLASS_MAPPINGS["OmniIDLoadIdentity"]
    assert name in loader.INPUT_TYPES()["required"]["identity"][0]
    assert loader.VALIDATE_INPUTS(identity=name) is True
    loaded, label = nodes("OmniIDLoadIdentity", identity=name)
    assert label == "Anna" and np.array_equal(loaded.tokens().numpy(), anna.tokens().numpy())
    assert loaded.info.features == 2
    before = loader.IS_CHANGED(identity=name)
    os.utime(comfy.folder / "output" / files[0], ns=(1, 1))
    assert before != loader.IS_CHANGED(identity=name)
    small = node.save(anna, "omniid/small", "f16", False)
    assert nodes("OmniIDLoadIdentity", identity=os.path.basename(small["ui"]["text"][0]))[0].info.features == 0
    assert small["result"][0] is anna
    assert "nowhere" in loader.VALIDATE_INPUTS(identity="nowhere.omniid")
    assert "../" in loader.VALIDATE_INPUTS(identity="../models/omniid/sd15.safetensors")
    with pytest.raises(Exception, match="outside"):
        node.save(anna, "../../person", "f32", True)


def test_comparing(engine, nodes, anna, ben, pack):
    assert nodes("OmniIDCompareIdentities", omniid=engine, first=anna, second=anna)[0] == pytest.approx(1.0, abs=1e-6)
    found = nodes("OmniIDCompareIdentities", omniid=engine, first=anna, second=ben)[0]
    assert found == engine.similarity(anna, ben) < 1
    node = pack.NODE_CLASS_MAPPINGS["OmniIDCompareIdentities"]
    assert node().compare(engine, anna, ben)["ui"] == {"text": [f"similarity {found:.4f}"]}
    assert node.OUTPUT_NODE, "it runs without anything behind it"


def test_models_are_opened_once(nodes, comfy, pack, layout):
    name = f"opened-once-{layout}.safetensors"
    path = comfy.folder / "models" / "omniid" / name
    # A copy: an engine that has its file open refuses to go on when that is written to.
    shutil.copy(path.with_name(f"{layout}.safetensors"), path)
    first, second = (nodes("OmniIDLoadModel", checkpoint=name)[0] for _ in range(2))
    assert first is second
    assert nodes("OmniIDLoadModel", checkpoint=name, precision="bf16")[0] is not first
    node = pack.NODE_CLASS_MAPPINGS["OmniIDLoadModel"]
    settings = dict(checkpoint=name, image_encoder="none", detector="built-in")
    before = node.IS_CHANGED(**settings, host="auto")
    os.utime(path, ns=(1, 1))
    assert node.IS_CHANGED(**settings, host="auto") != before
    with pytest.raises(FileNotFoundError, match="omniid, ipadapter"):
        nodes("OmniIDLoadModel", checkpoint="nowhere.safetensors")


def test_the_device_is_comfyuis(nodes, comfy, layout, monkeypatch):
    """Room is made on the GPU; `auto` takes the processor if the library was built without CUDA, `cuda` says so."""
    from omniid_pack import engines

    name = f"{layout}.safetensors"
    size = (comfy.folder / "models" / "omniid" / name).stat().st_size
    with pytest.raises(omniid.UnsupportedError, match="ComfyUI runs on cpu"):
        nodes("OmniIDLoadModel", checkpoint=name, device="cuda")
    opened, real = [], omniid.Engine.open

    class Library:
        """The library, with CUDA code as the test has it."""

        cuda = True

        @classmethod
        def open(cls, checkpoint, device, **keywords):
            opened.append(device)
            if device != "cpu" and not cls.cuda:
                raise omniid.UnsupportedError("built without CUDA")
            return real(checkpoint, device="cpu", **keywords)

    monkeypatch.setattr(engines, "Engine", Library)
    monkeypatch.setattr(engines, "_without_cuda", False)
    monkeypatch.setattr(comfy, "device", torch.device("cuda", 1))
    comfy.freed.clear()
    kept = [nodes("OmniIDLoadModel", checkpoint=name, device="auto", precision="f16")[0]]
    assert opened == ["cuda:1"] and comfy.freed == [(size, comfy.device)]
    kept.append(nodes("OmniIDLoadModel", checkpoint=name, device="cpu", precision="f16")[0])
    assert opened == ["cuda:1", "cpu"] and len(comfy.freed) == 1
    Library.cuda = False
    kept.append(nodes("OmniIDLoadModel", checkpoint=name, device="auto", precision="bf16")[0])
    assert opened[2:] == ["cuda:1", "cpu"] and len(comfy.freed) == 2
    # Known by now: no room is made again.
    kept.append(
        nodes("OmniIDLoadModel", checkpoint=name, device="auto", host="auto", precision="f32", detector="none")[0]
    )
    assert len(comfy.freed) == 2
    with pytest.raises(omniid.UnsupportedError, match="built without CUDA"):
        nodes("OmniIDLoadModel", checkpoint=name, device="cuda", precision="bf16")


def test_comfyuis_cancel_button_is_heard(engine, nodes, comfy, model, anna):
    comfy.interrupt = True
    with pytest.raises(comfy_stand_in.InterruptProcessingException):
        nodes("OmniIDEncodePhotos", omniid=engine, images=photo_batch(0, 1))
    comfy.interrupt = True
    with pytest.raises(comfy_stand_in.InterruptProcessingException):
        nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna)
    assert comfy.interrupt is False
    assert nodes("OmniIDEncodePhotos", omniid=engine, images=photo_batch(0))[0].info.photos == 1


def test_several_threads(engine, nodes, model, anna, inputs):
    """ComfyUI samples on one thread; packs that use several must get the same."""
    x, texts = inputs
    patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, end_at=0.9)[0]
    expected = run_chunks(patched, x, 3.0, texts, [1, 0])
    results = []

    def work():
        with torch.inference_mode():
            results.append([run_chunks(patched, x, 3.0, texts, [1, 0]) for _ in range(3)])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    for found in (one for many in results for one in many):
        assert all(torch.equal(a, b) for a, b in zip(found, expected))


def test_watching_changes_nothing_and_draws_shares(engine, nodes, model, anna, ben, inputs, layout):
    x, texts = inputs
    mask = torch.zeros(1, 12, 8)
    mask[:, :, :4] = 1
    people = nodes("OmniIDPerson", identity=anna, mask=mask)[0]
    people = nodes("OmniIDPerson", identity=ben, weight=0.5, people=people)[0]
    patched = nodes("OmniIDApplyPeople", model=model, omniid=engine, people=people)[0]
    watched, watch = nodes("OmniIDWatchAttention", model=patched)
    with pytest.raises(omniid.InvalidArgumentError, match="no identity has acted"):
        nodes("OmniIDPreviewAttention", watch=watch, samples={})
    found, expected = (run_chunks(m, x, 3.0, texts, [1, 0]) for m in (watched, patched))
    for a, b in zip(found, expected):
        assert float((a - b).abs().max()) <= 1e-5
    first = [m.clone() for m in watch.maps()]
    assert len(first) == 2 and first[0].shape == (12, 8)
    assert float(first[0][:, 7].max()) < 0.5 * float(first[0][:, 0].min())
    assert float(first[1][:, 7].min()) > 0
    run_chunks(watched, x, 1.0, texts, [0])
    second = [m.clone() for m in watch.maps()]
    assert not torch.equal(first[1], second[1])
    # A higher noise level: another sampling.
    run_chunks(watched, x, 3.0, texts, [1, 0])
    assert all(torch.allclose(a, b) for a, b in zip(first, watch.maps()))
    pictures, shares = nodes("OmniIDPreviewAttention", watch=watch, samples={}, scale=4)
    assert pictures.shape == (2, 48, 32, 3) and 0 <= float(pictures.min()) and float(pictures.max()) == 1
    assert [line.split(":")[0] for line in shares.splitlines()] == ["identity 0", "identity 1"]


def test_a_share_is_the_ratio_of_lengths(pack):
    """Against the definition, on numbers that can be seen through."""
    from omniid_pack.watch import Watch, token_grid

    assert token_grid(96, (12, 8)) == (12, 8) and token_grid(24, (12, 8)) == (6, 4)
    assert token_grid(35, (13, 9)) == (7, 5) and token_grid(7, (12, 8)) is None
    watch, output, part = Watch(), torch.zeros(2, 6, 4), torch.zeros(2, 6, 4)
    output[:, :, 0], part[:, :, 1] = 2.0, torch.arange(6.0)
    watch.begin(5.0)
    watch.note(None, 0, output, part, (omniid.Role.CONDITIONAL, omniid.Role.UNCONDITIONAL), (2, 3))
    assert torch.allclose(watch.maps()[0].flatten(), torch.arange(6.0) / 2)


def test_the_pack_is_ready_for_the_registry():
    text = (PACK / "pyproject.toml").read_text()
    version = omniid.__version__
    for line in ('name = "omniid-nodes"', f'version = "{version}"', "[tool.comfy]", "PublisherId", "DisplayName"):
        assert line in text, line
    # As long as no registry has the package omniid, pip must not be sent there for it.
    assert not (PACK / "requirements.txt").exists()
    assert f'dependencies = ["omniid>={version}"]' in text
    assert text.split('name = "')[1].split('"')[0] != "omniid", "the folder must not be called like the package"
