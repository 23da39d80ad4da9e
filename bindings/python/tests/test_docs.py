"""The programs and commands of the host pages, as they stand there."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import native_model
import numpy as np
import omniid
import pytest
from conftest import ROOT

PAGES = ROOT / "docs" / "hosts"


def blocks(page, language):
    text = (PAGES / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


@pytest.fixture
def folder(tmp_path, monkeypatch, photo_files):
    """A folder with what the pages call `anna/1.jpg` and so on."""
    for name in ("anna", "ben"):
        (tmp_path / name).mkdir()
        for i, photo in enumerate(photo_files, 1):
            shutil.copy(photo, tmp_path / name / f"{i}.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(page):
    """All programs of a page, one after the other, in one namespace."""
    names = {"__name__": "page"}
    programs = blocks(page, "python")
    for program in programs:
        exec(compile(program, page, "exec"), names)  # our own pages
    return names, len(programs)


def untrained_adapters(folder):
    """The models of random weights that the example of this name writes."""
    built = Path(os.environ.get("OMNIID_LIB") or ROOT / "target" / "release")
    subprocess.run([built / "examples" / "untrained_adapters", folder], check=True, stdout=subprocess.DEVNULL)


def test_python_page(folder, capsys):
    native_model.write(folder / "model.safetensors")
    untrained_adapters(folder)
    names, count = run("python.md")
    assert count == 13
    assert names["context"].shape == (2, 4, 24) and names["control"].any() and names["output"].any()
    assert (folder / "lora.safetensors").stat().st_size > 0 and names["adding"].is_residual
    assert names["longer"].info.photos == 3 and (folder / "anna.omniid").stat().st_size > 0
    output = capsys.readouterr().out
    assert "used" in output and "cancelled" in output and "nowhere.safetensors" in output


def test_readme_of_the_package(folder):
    native_model.write(folder / "model.safetensors")
    for i in (1, 2):
        shutil.copy(folder / "anna" / f"{i}.jpg", folder / f"{'ab'[i - 1]}.jpg")
    text = (ROOT / "bindings" / "python" / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    exec(program, {})  # our own page
    assert omniid.Identity.load(folder / "person.omniid").info.photos == 2


def tiny_pipeline(folder):
    """A whole Stable Diffusion pipeline in a few kilobytes."""
    import diffusers_models as models
    import transformers

    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    letters = [chr(code) for code in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (tokenizer / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    config = transformers.CLIPTextConfig(
        vocab_size=len(words), hidden_size=models.CONTEXT, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    pipe = models.sd_pipeline()
    pipe.register_modules(
        text_encoder=models.randomise(transformers.CLIPTextModel(config), 4),
        tokenizer=transformers.CLIPTokenizer(
            str(tokenizer / "vocab.json"), str(tokenizer / "merges.txt"), model_max_length=77
        ),
    )
    return pipe


def sd15_adapter(folder):
    """A base IP-Adapter of Stable Diffusion 1.5's real size, and a small image encoder."""
    widths = [320] * 2 + [640] * 2 + [1280] * 5 + [640] * 3 + [320] * 3 + [1280]
    random = np.random.default_rng(2)
    tensors = {
        "image_proj.proj.weight": random.normal(0, 0.2, (4 * 768, 12)).astype(np.float16),
        "image_proj.proj.bias": random.normal(0, 0.2, 4 * 768).astype(np.float16),
        "image_proj.norm.weight": np.ones(768, np.float16),
        "image_proj.norm.bias": np.zeros(768, np.float16),
    }
    for place, width in enumerate(widths):
        for side in "kv":
            # A layer that is all zeros is refused: such files were not downloaded to their end.
            layer = random.standard_normal((width, 768), np.float32) / 28
            tensors[f"ip_adapter.{2 * place + 1}.to_{side}_ip.weight"] = layer.astype(np.float16)
    native_model.write_safetensors(folder / "ip-adapter_sd15.safetensors", tensors)
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
                              image_size=56, patch_size=14, projection_dim=12, hidden_act="gelu")  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "image_encoder")


def test_diffusers_page(folder):
    pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    from omniid.diffusers import attachments, host_layers

    pipe = tiny_pipeline(folder)
    pipe.save_pretrained(folder / "stable-diffusion-v1-5" / "stable-diffusion-v1-5")
    host = [(layer.name, layer.heads, layer.head_dim, layer.context) for layer in host_layers(pipe)]
    native_model.write(folder / "model.safetensors", host=host)
    sd15_adapter(folder)
    names, count = run("diffusers.md")
    assert count == 6
    assert names["image"].size == (8, 8) and (folder / "anna.png").stat().st_size > 0
    assert names["engine_sd15"].info.host == "sd15" and names["identity"].tokens().shape == (4, 768)
    assert math.isclose(names["attachment"].scale, 1.0) and attachments(names["pipe"]) == ()
    assert names["noise"].shape == (2, 4, 8, 8)


@pytest.mark.skipif(shutil.which("cmake") is None or shutil.which("cc") is None, reason="needs CMake and a C compiler")
def test_cmake_finds_the_library_in_the_wheel(tmp_path):
    try:
        prefix = omniid.cmake_prefix()
    except FileNotFoundError:
        pytest.skip("the package is not installed from a wheel")
    program = "#include <omniid.h>\n#include <stdio.h>\nint main(void) { puts(omniid_version()); return 0; }\n"
    (tmp_path / "program.c").write_text(program)
    (tmp_path / "CMakeLists.txt").write_text(blocks("python.md", "cmake")[0])
    commands = next(block for block in blocks("python.md", "sh") if "cmake" in block)
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    subprocess.run(["sh", "-e", "-c", commands], cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL)
    output = subprocess.run([tmp_path / "build" / "program"], capture_output=True, text=True, check=True).stdout
    assert output.strip() == omniid.__version__
    if shutil.which("pkg-config"):
        environment["PKG_CONFIG_PATH"] = str(prefix / "lib" / "pkgconfig")
        command = f"cc program.c -o again $(pkg-config --cflags --libs omniid) -Wl,-rpath,{prefix / 'lib'} && ./again"
        subprocess.run(["sh", "-e", "-c", command], cwd=tmp_path, env=environment, check=True)


CONSUMER = """cmake_minimum_required(VERSION 3.20)
project(consumer C CXX)
find_package(OmniID 0.2 CONFIG REQUIRED COMPONENTS CPU shared OPTIONAL_COMPONENTS static)
if(OmniID_static_FOUND OR TARGET OmniID::omniid_static)
  message(FATAL_ERROR "a wheel holds the shared library only")
endif()
add_executable(in_c program.c)
add_executable(in_cpp program.cpp)
target_compile_features(in_cpp PRIVATE cxx_std_17)
target_link_libraries(in_c PRIVATE OmniID::omniid)
target_link_libraries(in_cpp PRIVATE OmniID::omniid)
"""
IN_CPP = """#include <omniid.hpp>
#include <cstdio>
int main(int, char **arguments) {
    const auto engine = omniid::Engine::open(arguments[1]);
    const auto encoded = engine->encode({omniid::Photo::file(arguments[2])});
    std::printf("%zu numbers\\n", encoded->identity.tokens()->size());
}
"""


@pytest.mark.skipif(shutil.which("cmake") is None or shutil.which("c++") is None, reason="needs CMake and a compiler")
def test_the_tree_of_the_wheel_may_be_moved(tmp_path, model_path, photo_files):
    """C and C++, after the tree was copied elsewhere."""
    try:
        prefix = omniid.cmake_prefix()
    except FileNotFoundError:
        pytest.skip("the package is not installed from a wheel")
    moved = tmp_path / "moved to" / "another place"
    shutil.copytree(prefix, moved, symlinks=True)
    (tmp_path / "CMakeLists.txt").write_text(CONSUMER)
    (tmp_path / "program.cpp").write_text(IN_CPP)
    (tmp_path / "program.c").write_text(
        "#include <omniid.h>\n#include <stdio.h>\nint main(void) { puts(omniid_version()); return 0; }\n"
    )
    for command in (["-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={moved}"],
                    ["--build", tmp_path / "build"]):  # fmt: skip
        subprocess.run(["cmake", *command], check=True, stdout=subprocess.DEVNULL)

    def run(*command):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert run(tmp_path / "build" / "in_c") == omniid.__version__
    assert run(tmp_path / "build" / "in_cpp", model_path, photo_files[0]) == f"{6 * 24} numbers"
