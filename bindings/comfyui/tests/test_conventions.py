"""Load IP-Adapter: the files of public adapters by the names under which people have them."""

import json
import pickle
import struct
import types
import zipfile

import hook_contract
import omniid
import pytest

# What people have, as the repositories and the nodes that download the files call them.
FILES = [
    "ipadapter/ip-adapter.bin",  # InstantX' for FLUX
    "ipadapter/ip-adapter-faceid_sd15.bin",
    "ipadapter/ip-adapter-faceid-plus_sd15.bin",
    "ipadapter/ip-adapter-faceid-plusv2_sd15.bin",
    "ipadapter/SDXL/ip-adapter-faceid-plusv2_sdxl.bin",
    "ipadapter/ip-adapter-faceid-portrait_sd15.bin",
    "ipadapter/ip-adapter-faceid-portrait_sdxl_unnorm.bin",
    "ipadapter/ip-adapter-plus-face_sd15.safetensors",
    "ipadapter/ip-adapter_sd15_light.bin",
    "instantid/ip-adapter.bin",
    "pulid/ip-adapter_pulid_sdxl_fp16.safetensors",
    "pulid/pulid_flux_v0.9.0.safetensors",
    "pulid/pulid_flux_v0.9.1.safetensors",
    "clip_vision/CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",
    "clip_vision/EVA02_CLIP_L_336_psz14_s6B.pt",
    "insightface/models/buffalo_l/w600k_r50.onnx",
    "insightface/models/buffalo_l/det_10g.onnx",
    "insightface/models/antelopev2/glintr100.onnx",
    "facexlib/parsing_bisenet.pth",
    "facexlib/parsing_parsenet.pth",
]

BUFFALO, ANTELOPE = "models/buffalo_l/w600k_r50.onnx", "models/antelopev2/glintr100.onnx"
CLIP, EVA = "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", "EVA02_CLIP_L_336_psz14_s6B.pt"

FOUND = [
    ("plus face", "sd15", "ip-adapter-plus-face_sd15.safetensors", CLIP, "none", "none", "auto"),
    ("light", "sd15", "ip-adapter_sd15_light.bin", CLIP, "none", "none", "auto"),
    ("FaceID", "sd15", "ip-adapter-faceid_sd15.bin", "none", BUFFALO, "none", "auto"),
    ("FaceID Plus", "sd15", "ip-adapter-faceid-plus_sd15.bin", CLIP, BUFFALO, "none", "faceid-plus"),
    ("FaceID Plus V2", "sd15", "ip-adapter-faceid-plusv2_sd15.bin", CLIP, BUFFALO, "none", "auto"),
    ("FaceID Plus V2", "sdxl", "SDXL/ip-adapter-faceid-plusv2_sdxl.bin", CLIP, BUFFALO, "none", "auto"),
    ("FaceID Portrait", "sd15", "ip-adapter-faceid-portrait_sd15.bin", "none", BUFFALO, "none", "auto"),
    ("FaceID Portrait unnorm", "sdxl", "ip-adapter-faceid-portrait_sdxl_unnorm.bin", "none", BUFFALO, "none",
     "faceid-portrait-unnorm"),
    ("InstantID", "sdxl", "instantid/ip-adapter.bin", "none", ANTELOPE, "none", "instantid"),
    ("PuLID", "sdxl", "ip-adapter_pulid_sdxl_fp16.safetensors", EVA, ANTELOPE, "parsing_bisenet.pth", "auto"),
    ("PuLID", "flux", "pulid_flux_v0.9.1.safetensors", EVA, ANTELOPE, "parsing_bisenet.pth", "auto"),
]  # fmt: skip


class Folders:
    """ComfyUI's lists of files, with these files and no others."""

    def __init__(self, root, files):
        self.root = root
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).touch()

    def get_filename_list(self, folder):
        paths = sorted((self.root / folder).rglob("*"))
        return [path.relative_to(self.root / folder).as_posix() for path in paths if path.is_file()]

    def get_full_path(self, folder, name):
        path = self.root / folder / name
        return str(path) if path.is_file() else None


@pytest.fixture
def listed(pack, tmp_path, monkeypatch):
    """Puts files into ComfyUI's folders of models."""
    from omniid_pack import folders

    def put(files):
        monkeypatch.setattr(folders, "folder_paths", Folders(tmp_path / "models", files))

    return put


@pytest.mark.parametrize("case", FOUND, ids=lambda case: f"{case[0]} {case[1]}")
def test_adapters_are_found_with_what_they_need(listed, case):
    from omniid_pack import conventions

    listed(FILES)
    kind, family, *expected = case
    files = conventions.find(kind, family)
    faces = files.faces
    assert [files.checkpoint, files.image_encoder, faces.recogniser, faces.parser, faces.variant] == expected
    assert str(files) == ", ".join(name for name in expected[:4] if name != "none")


def test_two_files_of_one_name_are_both_listed(listed, tmp_path):
    from omniid_pack import folders

    listed(FILES)
    names = folders.checkpoints()
    assert names.count("ip-adapter.bin") == 1 and "instantid/ip-adapter.bin" in names
    for name, place in (("ip-adapter.bin", "ipadapter"), ("instantid/ip-adapter.bin", "instantid")):
        assert folders.find(name, folders.ADAPTERS) == str(tmp_path / "models" / place / "ip-adapter.bin")
    # Both folders may be one: extra_model_paths.yaml can say so.
    link = tmp_path / "models" / "omniid"
    try:
        link.symlink_to(tmp_path / "models" / "ipadapter", target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links here")
    assert "ipadapter/ip-adapter.bin" not in folders.checkpoints()


def test_newer_versions_come_first(listed):
    from omniid_pack import conventions

    listed([*FILES, "pulid/pulid_v1.bin", "pulid/pulid_v1.1.safetensors", "instantid/ip-adapter_instant_id_sdxl.bin",
            "ipadapter/ip-adapter-faceid-portrait-v11_sd15.bin"])  # fmt: skip
    assert conventions.find("PuLID", "sdxl").checkpoint == "pulid_v1.1.safetensors"
    assert conventions.find("InstantID", "sdxl").checkpoint == "ip-adapter_instant_id_sdxl.bin"
    assert conventions.find("FaceID Portrait", "sd15").checkpoint == "ip-adapter-faceid-portrait-v11_sd15.bin"


@pytest.mark.parametrize(
    "missing, kind, family, message",
    [
        ("ipadapter/ip-adapter-faceid_sd15.bin", "FaceID", "sd15", "ip-adapter-faceid_sd15.*models/ipadapter"),
        ("instantid/ip-adapter.bin", "InstantID", "sdxl", "models/instantid"),
        (f"insightface/{BUFFALO}", "FaceID", "sd15", "w600k_r50.onnx in models/insightface/models/buffalo_l"),
        (f"insightface/{ANTELOPE}", "PuLID", "flux", "glintr100.onnx in models/insightface/models/antelopev2"),
        (f"clip_vision/{EVA}", "PuLID", "sdxl", "EVA02_CLIP_L_336_psz14_s6B.pt in models/clip_vision"),
        (f"clip_vision/{CLIP}", "FaceID Plus", "sd15", "ViT-H"),
    ],
)
def test_what_is_missing_is_named(listed, missing, kind, family, message):
    from omniid_pack import conventions

    listed(file for file in FILES if file != missing)
    with pytest.raises(FileNotFoundError, match=message):
        conventions.find(kind, family)


def test_the_parser_may_be_missing(listed):
    from omniid_pack import conventions

    listed(file for file in FILES if "bisenet" not in file)
    assert conventions.find("PuLID", "flux").faces.parser == "none"


def test_kinds_that_do_not_exist_for_a_model_are_refused(pack):
    from omniid_pack import conventions

    with pytest.raises(omniid.UnsupportedError, match="InstantID.*sd15.*FaceID Plus V2"):
        conventions.find("InstantID", "sd15")
    with pytest.raises(omniid.UnsupportedError, match="for flux; there are: PuLID, XLabs, InstantX, WithAnyone"):
        conventions.find("FaceID", "flux")
    assert conventions.family(hook_contract.patcher(hook_contract.sd15())) == "sd15"
    assert conventions.family(hook_contract.patcher(hook_contract.sdxl())) == "sdxl"
    flux = types.SimpleNamespace(double_blocks=[], single_blocks=[])
    assert conventions.family(types.SimpleNamespace(model=types.SimpleNamespace(diffusion_model=flux))) == "flux"
    sd3 = types.SimpleNamespace(joint_blocks=[])
    assert conventions.family(types.SimpleNamespace(model=types.SimpleNamespace(diffusion_model=sd3))) == "sd35"


def write_safetensors(path, *names):
    tensors = {name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in names}
    header = json.dumps(tensors).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def write_torch(path, tree):
    """A PyTorch file as far as it is looked at: names in a pickle in an archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(tree))


def test_adapters_of_transformers_are_known_by_their_tensors(listed, tmp_path):
    """The published names say nothing: two are called ip-adapter.bin, and people rename."""
    from omniid_pack import conventions

    models = tmp_path / "models"
    layers = [f"{i}.to_{side}_ip.weight" for i in range(57) for side in "kv"]
    flux = {"image_proj": {"proj.0.weight": 0, "norm.weight": 0}, "ip_adapter": dict.fromkeys(layers, 0)}
    sd35 = {"image_proj": {"time_embedding.linear_1.weight": 0}, "ip_adapter": dict.fromkeys(layers[:76], 0)}
    # An IP-Adapter for SDXL counts in twos: 1, 3, ..., 139.
    odd = [f"ip_adapter.{i}.to_k_ip.weight" for i in range(1, 141, 2)]
    listed([file for file in FILES if "ip-adapter.bin" not in file])
    write_safetensors(models / "ipadapter" / "ip-adapter_sdxl_vit-h.safetensors", "image_proj.proj.weight", *odd)
    write_torch(models / "ipadapter-flux" / "ip-adapter.bin", flux)
    write_torch(models / "ipadapter" / "for sd3.bin", sd35)
    block = "double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight"
    write_safetensors(models / "xlabs_ipadapters" / "a.safetensors", block)
    write_safetensors(models / "ipadapter" / "mine.safetensors", "ipa_arc.0.to_k.weight", "ipa_sig.0.to_k.weight")
    (models / "ipadapter" / "damaged.safetensors").write_bytes(b"\xff" * 9)
    (models / "ipadapter" / "damaged.bin").write_bytes(b"PK\3\4nothing")
    for name in ("clip-vit-large-patch14", "sigclip_vision_patch14_384", "siglip-base-patch16-256-i18n"):
        (models / "clip_vision" / f"{name}.safetensors").touch()
    for kind, family, checkpoint, encoder, recogniser in (
        ("XLabs", "flux", "a.safetensors", "clip-vit-large-patch14.safetensors", "none"),
        ("InstantX", "flux", "ip-adapter.bin", "sigclip_vision_patch14_384.safetensors", "none"),
        ("InstantX", "sd35", "for sd3.bin", "sigclip_vision_patch14_384.safetensors", "none"),
        ("WithAnyone", "flux", "mine.safetensors", "siglip-base-patch16-256-i18n.safetensors", ANTELOPE),
    ):
        files = conventions.find(kind, family)
        assert (files.checkpoint, files.image_encoder, files.faces.recogniser) == (checkpoint, encoder, recogniser)
    # Of two the one under the published name.
    write_safetensors(models / "ipadapter" / "flux-ip-adapter-v2.safetensors", block)
    assert conventions.find("XLabs", "flux").checkpoint == "flux-ip-adapter-v2.safetensors"
    (models / "ipadapter" / "for sd3.bin").unlink()
    with pytest.raises(FileNotFoundError, match="tensors of this adapter"):
        conventions.find("InstantX", "sd35")


def test_the_node_opens_what_it_finds(pack, nodes, comfy, unets, monkeypatch):
    """All the way: names, files, engine; the small adapter is under the name of the public one."""
    from omniid_pack import engines

    pytest.importorskip("diffusers")
    pytest.importorskip("timm")
    pytest.importorskip("onnxruntime")
    import face_models

    models = comfy.folder / "models"
    adapter = models / "ipadapter" / "ip-adapter-faceid-plusv2_sd15.safetensors"
    adapter.parent.mkdir(parents=True, exist_ok=True)
    face_models.write_faceid(adapter, unets["sd15"])
    face = models / "insightface" / "models" / "buffalo_l" / "w600k_r50.safetensors"
    face_models.write_recogniser(face, 50)
    encoder = models / "clip_vision" / CLIP
    encoder.parent.mkdir(exist_ok=True)
    encoder.touch()
    # The native stand-in brings its image encoder.
    paths = engines.paths
    monkeypatch.setattr(engines, "paths", lambda *names: [paths(*names)[0], None, None])
    model = hook_contract.patcher(unets["sd15"])
    engine, files = nodes("OmniIDLoadIPAdapter", model=model, kind="FaceID Plus V2")
    assert files == f"{adapter.name}, {CLIP}, models/buffalo_l/w600k_r50.safetensors"
    assert engine.info.face_recogniser == "IResNet-50" and engine.info.has_lora
    for path in (adapter, face):
        path.unlink()
