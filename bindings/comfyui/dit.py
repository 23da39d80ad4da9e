"""People in FLUX: what is put into ComfyUI's `transformer_options["patches_replace"]["dit"]`.

ComfyUI calls the replacement of a block with the block's inputs and the block itself. It does not show the block's
query, so adapters inside of the attention (XLabs, InstantX) cannot act there. Those of the residual stream (PuLID-FLUX,
WithAnyone) add to what the block has made, and need nothing else.
"""

from __future__ import annotations

import threading
from typing import Any

import torch
from omniid import Conditioning, Engine, MismatchError, OmniIdError, Step, UnsupportedError
from omniid.torch_attention import device_type

from .hook import batch_roles, first_sigma

_KINDS = {"double_block": "double_blocks", "single_block": "single_blocks"}
"""What ComfyUI calls the blocks in `patches_replace`, and where they are in the model."""


def is_flux(model: Any) -> bool:
    """Whether a ModelPatcher's model is a transformer of the FLUX kind."""
    transformer: Any = getattr(getattr(model, "model", None), "diffusion_model", None)
    return all(hasattr(transformer, name) for name in _KINDS.values())


def check(engine: Engine) -> None:
    """Raises if an engine has no adapter that can act in ComfyUI's FLUX; cheap."""
    info = engine.info
    if not info.has_adapter:
        raise UnsupportedError(f"the model {info.name!r} holds no adapter: its identities cannot be injected anywhere")
    if not any(layer.hidden for layer in engine.host_layers):
        raise UnsupportedError(
            f"the adapter is for {info.host or 'another host'} and acts on the queries of the attention layers. "
            "ComfyUI does not show those of FLUX to nodes: only PuLID-FLUX and WithAnyone, which act between the "
            "blocks, work here. In Python omniid.diffusers takes this adapter"
        )


def put(patched: Any, conditioning: Conditioning) -> None:
    """Puts a conditioning into a clone of a ModelPatcher."""
    transformer = patched.model.diffusion_model
    shared = _Shared(conditioning)
    layers: dict[tuple[str, int], int] = {}
    for kind, attribute in _KINDS.items():
        for number in range(len(getattr(transformer, attribute))):
            try:
                layers[kind, number] = conditioning.find_layer(f"{kind},{number}")
            except OmniIdError:
                continue  # most blocks have no place of PuLID's behind them
    if len(layers) != conditioning.layer_count:
        raise MismatchError(
            f"the adapter acts behind {conditioning.layer_count} blocks; this transformer has {len(layers)} of them"
        )
    replaced = patched.model_options["transformer_options"].get("patches_replace", {}).get("dit", {})
    # The first block also shows how long the text is.
    for key in {("double_block", 0): None, **layers}:
        hook = ResidualHook(shared, layers.get(key), key[0] == "double_block", replaced.get(key))
        patched.set_model_patch_replace(hook, "dit", *key)


class _Shared(threading.local):
    """What the hooks of one conditioning share, on each thread by itself."""

    def __init__(self, conditioning: Conditioning) -> None:
        self.conditioning = conditioning
        self.device_type = device_type(conditioning)
        self.text_tokens = 0


class ResidualHook:
    """The replacement of one block: the block, or another node's replacement of it, and then the identities."""

    def __init__(self, shared: _Shared, layer: int | None, double: bool, previous: Any) -> None:
        self.shared, self.layer, self.double, self.previous = shared, layer, double, previous

    def __call__(self, arguments: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any]
        found = extra["original_block"](arguments) if self.previous is None else self.previous(arguments, extra)
        if self.double:
            self.shared.text_tokens = arguments["txt"].shape[1]
        if self.layer is not None:
            image = found["img"] if self.double else found["img"][:, self.shared.text_tokens :]
            self._add(self.layer, image, arguments.get("transformer_options") or {})
        return found

    def _add(self, layer: int, image: torch.Tensor, options: dict[str, Any]) -> None:
        conditioning = self.shared.conditioning
        step = Step(sigma=first_sigma(options)) if conditioning.has_step_ranges else None
        settings: Any = {"roles": batch_roles(options.get("cond_or_uncond"), image.shape[0]), "step": step}
        if conditioning.has_masks:
            settings["latent_size"] = _packed(options.get("original_shape"), image.shape[1])
        if image.device.type == self.shared.device_type and image.dtype in _TYPES:
            conditioning.inject_residual(layer, image, **settings)
            return
        # Elsewhere: there and back. The block's own matrices are in the library.
        target = image.detach().to("cpu", torch.float32)
        conditioning.inject_residual(layer, target, **settings)
        image.copy_(target)


_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def _packed(shape: Any, tokens: int) -> tuple[int, int]:
    """Height and width of the picture in tokens, two by two latent pixels each."""
    if shape is not None:
        height, width = (int(shape[-2]) + 1) // 2, (int(shape[-1]) + 1) // 2
        if height * width == tokens:
            return height, width
    raise UnsupportedError(
        "a mask needs the picture's shape, which this version of ComfyUI does not show in FLUX; leave the mask out"
    )
