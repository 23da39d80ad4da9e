"""A HAND-WRITTEN STAND-IN for the few modules of ComfyUI that the nodes import. Not ComfyUI."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import hook_contract
import reference
import torch


class InterruptProcessingException(Exception):
    """What ComfyUI raises in a node when Cancel was pressed."""


class ProgressBar:
    """ComfyUI's progress bar; remembers what it has shown."""

    shown: list[tuple[int, int]] = []

    def __init__(self, total):
        self.total = total

    def update_absolute(self, value, total=None, preview=None):
        self.shown.append((value, total or self.total))


def clip_preprocess(image, size, mean, std, crop):
    """Images `[photos, height, width, 3]` as a CLIP model reads them, `[photos, 3, size, size]`."""
    mean, std = (torch.tensor(side, dtype=image.dtype)[:, None, None] for side in (mean, std))
    side = min(image.shape[1:3])
    top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
    square = image[:, top : top + side, left : left + side].movedim(-1, 1)
    square = torch.nn.functional.interpolate(square, size=(size, size), mode="bicubic", antialias=True)
    return (square.clamp(0, 1) - mean) / std


def install(folder: Path) -> types.SimpleNamespace:
    """Puts the modules where `import` finds them; model, input and output folders are below `folder`. Gives what tests
    turn: `interrupt`, `device`."""
    switches = types.SimpleNamespace(interrupt=False, device=torch.device("cpu"), freed=[])
    for name in ("models", "input", "output"):
        (folder / name).mkdir(parents=True, exist_ok=True)

    paths = types.ModuleType("folder_paths")
    paths.models_dir = str(folder / "models")
    paths.folder_names_and_paths = {"clip_vision": ([str(folder / "models" / "clip_vision")], {".safetensors"})}
    paths.get_input_directory = lambda: str(folder / "input")
    paths.get_output_directory = lambda: str(folder / "output")

    def get_filename_list(name):
        found = []
        for root in paths.folder_names_and_paths[name][0]:
            for path in sorted(Path(root).rglob("*")):
                if path.is_file() and path.suffix in paths.folder_names_and_paths[name][1]:
                    found.append(path.relative_to(root).as_posix())
        return found

    def get_full_path(name, file):
        for root in paths.folder_names_and_paths[name][0]:
            path = os.path.join(root, os.path.relpath(os.path.join("/", file), "/"))
            if os.path.isfile(path):
                return path
        return None

    def get_save_image_path(prefix, output, width=0, height=0):
        subfolder, name = os.path.split(os.path.normpath(prefix))
        target = os.path.join(output, subfolder)
        if os.path.commonpath((output, os.path.abspath(target))) != output:
            raise Exception("Saving image outside the output folder is not allowed.")
        os.makedirs(target, exist_ok=True)
        taken = [int(file[len(name) + 1 :].split("_")[0]) for file in os.listdir(target) if file.startswith(name + "_")]
        return target, name, max(taken, default=0) + 1, subfolder, prefix

    paths.get_filename_list, paths.get_full_path = get_filename_list, get_full_path
    paths.get_save_image_path = get_save_image_path

    management = types.ModuleType("comfy.model_management")
    management.InterruptProcessingException = InterruptProcessingException
    management.get_torch_device = lambda: switches.device
    management.free_memory = lambda size, device: switches.freed.append((size, device))
    management.soft_empty_cache = lambda: None
    management.load_model_gpu = lambda patcher: None

    def throw_exception_if_processing_interrupted():
        if switches.interrupt:
            switches.interrupt = False
            raise InterruptProcessingException()

    management.throw_exception_if_processing_interrupted = throw_exception_if_processing_interrupted

    utils = types.ModuleType("comfy.utils")
    utils.ProgressBar = ProgressBar
    utils.load_torch_file = lambda path, safe_load=False: reference.read_file(Path(path))
    lora = types.ModuleType("comfy.lora")
    lora.model_lora_keys_unet, lora.load_lora = hook_contract.model_lora_keys_unet, hook_contract.load_lora
    attention = types.ModuleType("comfy.ldm.modules.attention")
    attention.optimized_attention = hook_contract.optimized_attention
    vision = types.ModuleType("comfy.clip_vision")
    vision.clip_preprocess = clip_preprocess
    modules = {"folder_paths": paths}
    for name in ("comfy", "comfy.ldm", "comfy.ldm.modules"):
        modules[name] = types.ModuleType(name)
        modules[name].__path__ = []
    modules |= {"comfy.model_management": management, "comfy.utils": utils, "comfy.ldm.modules.attention": attention}
    modules |= {"comfy.clip_vision": vision, "comfy.lora": lora}
    for name, module in modules.items():
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    return switches
