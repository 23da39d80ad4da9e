"""`python -m omniid.onnx`."""

import json

import pytest

for module in ("torch", "diffusers", "onnx", "onnxruntime"):
    pytest.importorskip(module)

import diffusers_models as models  # noqa: E402
from omniid.onnx.__main__ import main  # noqa: E402
from onnx_graphs import session  # noqa: E402


def test_a_folder_becomes_a_graph_and_a_manifest(tmp_path, capsys):
    models.sd_unet().save_pretrained(tmp_path / "pipeline" / "unet")
    (tmp_path / "pipeline" / "model_index.json").write_text("{}")
    graph = tmp_path / "unet.onnx"
    assert main([str(tmp_path / "pipeline"), str(graph), "--precision", "f16", "--rows", "2", "--no-mask"]) == 0
    out = capsys.readouterr()
    assert "7 layers, 15 identity inputs" in out.out and "tracing" in out.err
    manifest = json.loads((tmp_path / "unet.onnx.identity.json").read_text())
    assert manifest["rows"] == 2 and manifest["precision"] == "f16" and manifest["mask"] is None
    assert session(graph).get_inputs()[0].type == "tensor(float16)"


def test_errors_say_what_is_missing(tmp_path, capsys):
    for arguments, message in (
        ([tmp_path / "nothing", tmp_path / "a.onnx"], "a folder as diffusers saves it"),
        ([tmp_path, tmp_path / "nowhere" / "a.onnx"], "no such folder"),
    ):
        assert main(list(map(str, arguments))) == 1
        assert message in capsys.readouterr().err
    (tmp_path / "config.json").write_text('{"_class_name": "Nothing"}')
    assert main([str(tmp_path), str(tmp_path / "a.onnx")]) == 1
    assert "'Nothing'" in capsys.readouterr().err
    for wrong in (["--size", "64"], ["--rows", "0"], ["--precision", "f64"]):
        with pytest.raises(SystemExit):
            main([str(tmp_path), str(tmp_path / "a.onnx"), *wrong])
