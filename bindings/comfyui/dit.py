"""People in the transformers of FLUX and SD3.5: which blocks of a model get which hook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from omniid import Conditioning, EncoderKind, Engine, HostLayer, MismatchError, OmniIdError, UnsupportedError

from .dit_attention import AttentionHook, Injections, JointHook, JointInjection
from .dit_pass import remember
from .dit_residual import ResidualHook, Shared
from .frames import Frames
from .hook import Injection

_FLUX = {"double_block": "double_blocks", "single_block": "single_blocks"}
"""What ComfyUI calls the blocks in `patches_replace`, and where they are in the model."""

_APPLY_MODEL, _WRAPPER = "apply_model", "omniid"
"""ComfyUI's kind of the wrapper, `WrappersMP.APPLY_MODEL`, which earlier versions do not have, and its key."""


def is_flux(model: Any) -> bool:
    """Whether a ModelPatcher's model is a transformer of the FLUX kind."""
    return all(hasattr(_transformer(model), name) for name in _FLUX.values())


def is_sd3(model: Any) -> bool:
    """Whether it is one of the SD3 kind."""
    return hasattr(_transformer(model), "joint_blocks")


def is_transformer(model: Any) -> bool:
    """Whether it is one that people can be put into."""
    return is_flux(model) or is_sd3(model)


def _transformer(model: Any) -> Any:
    return getattr(getattr(model, "model", None), "diffusion_model", None)


def check(model: Any, engine: Engine) -> None:
    """Raises if an engine has no adapter for the model; cheap, to be asked before anything is projected."""
    info = engine.info
    if not info.has_adapter:
        raise UnsupportedError(f"the model {info.name!r} holds no adapter: its identities cannot be injected anywhere")
    blocks, layers = _blocks(_transformer(model)), engine.host_layers
    if needs_timestep(engine) != is_sd3(model):
        raise MismatchError(
            f"the adapter is for {info.host or 'another host'}; the model is a {type(_transformer(model)).__name__}. "
            "FLUX takes XLabs, InstantX, PuLID-FLUX and WithAnyone, SD3.5 takes InstantX' adapter for SD3.5"
        )
    if any(layer.hidden for layer in layers):
        return
    # All double blocks, or all blocks.
    doubles = sum(kind == "double_block" for kind, _ in blocks)
    if len(layers) not in (doubles, len(blocks)):
        raise MismatchError(
            f"the adapter is for {info.host or 'a host'} with {len(layers)} attention layers; this transformer has "
            f"{doubles} double and {len(blocks) - doubles} single blocks. FLUX.1 has 19 and 38, SD3.5 Large has 38"
        )


def needs_timestep(engine: Engine) -> bool:
    """Whether keys and values depend on the denoising timestep: InstantX' adapter for SD3.5."""
    return engine.info.encoder == EncoderKind.TIME_RESAMPLER


def _blocks(transformer: Any) -> dict[tuple[str, int], Any]:
    """The blocks by their keys in `patches_replace`, in execution order."""
    if hasattr(transformer, "joint_blocks"):
        return {("double_block", number): block for number, block in enumerate(transformer.joint_blocks)}
    return {
        (kind, number): block
        for kind, attribute in _FLUX.items()
        for number, block in enumerate(getattr(transformer, attribute))
    }


def put(patched: Any, conditioning: Conditioning, frames: Sequence[Frames | None] = ()) -> None:
    """Puts a conditioning of an adapter of FLUX into a clone of a ModelPatcher."""
    blocks = _blocks(_transformer(patched))
    layers = _matched(conditioning.find_layer, conditioning.layers, blocks)
    for key, layer in layers.items():
        _check_shape(key, blocks[key], conditioning.layers[layer])
    acting = {
        key: layer
        for key, layer in layers.items()
        if any(conditioning.factor(layer, i) != 0 for i in range(conditioning.identity_count))
    }
    if not acting:
        return  # the model stays as it is
    if conditioning.is_residual:
        shared = Shared(conditioning)
        make: Callable[..., Any] = lambda key, previous: ResidualHook(  # noqa: E731
            shared, acting.get(key), key[0] == "double_block", previous
        )
    else:
        injections = Injections(Injection(conditioning, frames), _before_projection(layers))
        make = lambda key, previous: AttentionHook(  # noqa: E731
            injections, acting.get(key), blocks[key], key[0] == "double_block", previous
        )
    # The first block also shows how long the text is.
    _replace(patched, {("double_block", 0): None, **acting}, make)


def put_joint(patched: Any, layers: Sequence[HostLayer], injection: JointInjection) -> None:
    """Puts people into a clone of SD3.5's ModelPatcher; their conditioning is made at each step."""
    blocks = _blocks(_transformer(patched))
    names = {layer.name: index for index, layer in enumerate(layers)}
    found = _matched(lambda name: names.get(name), layers, blocks)
    for key, layer in found.items():
        _check_shape(key, blocks[key].x_block, layers[layer])
    _replace(patched, found, lambda key, previous: JointHook(injection, found[key], blocks[key], previous))


def _replace(patched: Any, keys: dict[tuple[str, int], Any], make: Callable[..., Any]) -> None:
    replaced = patched.model_options["transformer_options"].get("patches_replace", {}).get("dit", {})
    for key in keys:
        patched.set_model_patch_replace(make(key, replaced.get(key)), "dit", *key)
    if hasattr(patched, "add_wrapper_with_key"):
        patched.remove_wrappers_with_key(_APPLY_MODEL, _WRAPPER)
        patched.add_wrapper_with_key(_APPLY_MODEL, _WRAPPER, remember)


def _before_projection(layers: dict[tuple[str, int], int]) -> bool:
    """InstantX adds to the attention of all blocks, XLabs behind double blocks."""
    return any(kind == "single_block" for kind, _ in layers)


def _matched(
    find: Callable[[str], int | None], layers: Sequence[HostLayer], blocks: dict[tuple[str, int], Any]
) -> dict[tuple[str, int], int]:
    """The blocks that the adapter has layers for, each with its layer's number."""
    found: dict[tuple[str, int], int] = {}
    for kind, number in blocks:
        # Tables that were handed in may know names alone.
        group = "single_transformer_blocks" if kind == "single_block" else "transformer_blocks"
        for name in (f"{kind},{number}", f"{group}.{number}.attn", f"{group}.{number}"):
            try:
                layer = find(name)
            except OmniIdError:
                continue  # most blocks have no place of PuLID's behind them
            if layer is not None:
                found[kind, number] = layer
                break
    if len(found) != len(layers):
        raise MismatchError(f"the adapter acts on {len(layers)} blocks; this transformer has {len(found)} of them")
    return found


def _check_shape(key: tuple[str, int], block: Any, layer: HostLayer) -> None:
    """Raises if a block is not of the width that the adapter was trained for."""
    attention = getattr(block, "attn", None)
    heads = getattr(block, "num_heads", getattr(attention, "num_heads", None))
    hidden = getattr(block, "hidden_size", None)
    if hidden is None and attention is not None:
        hidden = attention.proj.in_features
    wanted = layer.hidden or layer.heads * layer.head_dim
    if hidden is not None and hidden != wanted:
        raise MismatchError(f"{key}: the adapter is for a hidden state of width {wanted}; the block's is {hidden} wide")
    if not layer.hidden and heads is not None and heads != layer.heads:
        raise MismatchError(f"{key}: the adapter is for {layer.heads} heads; the block has {heads}")
