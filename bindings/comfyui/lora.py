"""The LoRA that belongs to an identity model, as a patch of ComfyUI's model."""

from __future__ import annotations

import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

from comfy import lora as comfy_lora
from comfy import utils as comfy_utils
from omniid import Engine, MismatchError

_tensors: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def put(patched: Any, engine: Engine, strength: float) -> None:
    """Puts the LoRA of an engine's model into a ModelPatcher, as Load LoRA does it; nothing if the model has none, or
    at strength 0. One that is there already, from the same model, is not added again: several people share it."""
    lora = engine.lora
    if lora is None or strength == 0:
        return
    known = patched.model_options.setdefault("omniid_loras", {})
    if lora.model in known:
        if known[lora.model] != strength:
            raise MismatchError(
                f"the LoRA of this identity model is in the model at strength {known[lora.model]} already; give all "
                f"nodes with it the same lora_strength, not {strength}"
            )
        return
    tensors = tensors_of(lora)
    loaded = comfy_lora.load_lora(tensors, comfy_lora.model_lora_keys_unet(patched.model, {}))
    expected = sum(name.endswith(".lora_up.weight") for name in tensors)
    applied = patched.add_patches(loaded, strength)
    if len(applied) != expected:
        raise MismatchError(
            f"the identity model's LoRA changes {expected} layers; this model has {len(applied)} of them. The identity "
            "model is for another kind of UNet"
        )
    known[lora.model] = strength


def tensors_of(lora: Any) -> dict[str, Any]:
    """The tensors of a LoRA under the names of kohya-ss, read once."""
    with _lock:
        found = _tensors.get(lora)
        if found is None:
            with tempfile.TemporaryDirectory(prefix="omniid-") as folder:
                path = Path(folder) / "lora.safetensors"
                lora.save(path, "kohya")
                # Copies: the file goes away, and ComfyUI's loader may map it.
                read = comfy_utils.load_torch_file(str(path), safe_load=True)
                found = _tensors[lora] = {name: tensor.clone() for name, tensor in read.items()}
        return found
