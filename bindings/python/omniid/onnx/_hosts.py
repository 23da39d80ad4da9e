"""The models that graphs are made of: their inputs, and how they are called with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional

import torch

from .. import errors
from ..diffusers import _layers

ROWS, TEXT, HEIGHT, WIDTH, IMAGE = "rows", "text_tokens", "height", "width", "image_tokens"
"""Names of the free sizes of a graph."""


@dataclass(frozen=True)
class Input:
    """An input of the model itself."""

    name: str
    example: torch.Tensor
    """What the model is run with while the exporter watches."""
    free: dict[int, str]
    """The dimensions that may have any size, with a name for each; that of the batch is "rows"."""


@dataclass(frozen=True)
class Wrapper:
    """A module around a model, with inputs and an output of its own: for graphs that do more than the model."""

    module: torch.nn.Module
    """Takes the inputs in order and gives one tensor. Has the model in it."""
    inputs: tuple[Input, ...]
    output: str
    """Name of the output."""
    free: dict[int, str]
    """The dimensions of the output that may have any size."""


@dataclass(frozen=True)
class Host:
    """A model with its inputs."""

    kind: str
    """"unet", "flux" or "sd3"."""
    name: str
    """The host's name in the manifest."""
    inputs: tuple[Input, ...]
    output: str
    output_free: dict[int, str]
    call: Callable[..., torch.Tensor]
    """Runs the model on its inputs, in order."""
    image_size: Callable[..., Optional[tuple[Any, Any]]]
    """Height and width of the picture in tokens, from the inputs; None where the layers of a model differ."""


@dataclass(frozen=True)
class Sizes:
    """What is fixed; None is free."""

    rows: Optional[int] = None
    size: Optional[tuple[int, int]] = None
    """Height and width of the latent picture."""
    text_tokens: Optional[int] = None


def describe(model: Any, sizes: Sizes, wrapper: Optional[Wrapper] = None) -> Host:
    """The inputs of a model, or of a wrapper. Raises UnsupportedError for models that need others."""
    if wrapper is not None:
        if not _layers.is_unet(model):
            raise errors.UnsupportedError(f"a wrapper goes around a UNet, not around a {type(model).__name__}")
        return Host(
            "unet", "custom", wrapper.inputs, wrapper.output, wrapper.free, wrapper.module, lambda *_: None
        )  # fmt: skip
    config = getattr(model, "config", None)
    if config is None:
        raise errors.UnsupportedError(f"{type(model).__name__} is no model of diffusers: it has no config")
    if _layers.is_unet(model):
        return _unet(model, config, sizes)
    if hasattr(model, "single_transformer_blocks"):
        return _flux(model, config, sizes)
    if type(model).__name__ == "SD3Transformer2DModel":
        return _sd3(model, config, sizes)
    raise errors.UnsupportedError(
        f"{type(model).__name__}: graphs are made of the UNets of Stable Diffusion 1.x and SDXL, of FLUX and of SD3 "
        "transformers, and of models of the same design"
    )


class _Example:
    """Random inputs, and which of their dimensions are free."""

    def __init__(self, model: Any, sizes: Sizes) -> None:
        self._dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
        self._random = torch.Generator().manual_seed(0)
        self.rows = sizes.rows or 2
        self.text = sizes.text_tokens or 7
        self._fixed = {
            ROWS: sizes.rows is not None,
            TEXT: sizes.text_tokens is not None,
            HEIGHT: sizes.size is not None,
            WIDTH: sizes.size is not None,
            IMAGE: sizes.size is not None,
        }

    def free(self, **places: int) -> dict[int, str]:
        return {place: name for name, place in places.items() if not self._fixed[name]}

    def random(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self._random).to(self._dtype)


def _unet(model: Any, config: Any, sizes: Sizes) -> Host:
    kind = config.get("addition_embed_type")
    for name in ("encoder_hid_dim_type", "class_embed_type", "num_class_embeds"):
        if config.get(name) is not None and config.get(name) != "ip_image_proj":
            raise errors.UnsupportedError(
                f"a UNet with {name}={config.get(name)!r} has inputs that OmniID's exporter does not know"
            )
    if kind not in (None, "text_time"):
        raise errors.UnsupportedError(
            f"a UNet with addition_embed_type={kind!r}; known are none and 'text_time' (SDXL)"
        )
    if config.get("encoder_hid_dim_type") == "ip_image_proj":
        raise errors.UnsupportedError("the UNet has an IP-Adapter of diffusers; unload_ip_adapter() first")
    made = _Example(model, sizes)
    factor = 2 ** (len(config.block_out_channels) - 1)
    height, width = sizes.size or (2 * factor, 3 * factor)
    if height % factor or width % factor:
        raise errors.InvalidArgumentError(f"size is {height} x {width}; this UNet halves it to multiples of {factor}")
    context = config.cross_attention_dim
    context = context if isinstance(context, int) else context[0]
    inputs = [
        Input(
            "sample", made.random(made.rows, config.in_channels, height, width), made.free(rows=0, height=2, width=3)
        ),
        Input("timestep", torch.full((made.rows,), 500.0), made.free(rows=0)),
        Input("encoder_hidden_states", made.random(made.rows, made.text, context), made.free(rows=0, text_tokens=1)),
    ]
    if kind == "text_time":
        wide = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        inputs.append(Input("text_embeds", made.random(made.rows, wide), made.free(rows=0)))
        inputs.append(Input("time_ids", made.random(made.rows, 6), made.free(rows=0)))

    def call(sample: Any, timestep: Any, context: Any, *more: Any) -> torch.Tensor:
        added = dict(zip(("text_embeds", "time_ids"), more)) or None
        result = model(sample, timestep, encoder_hidden_states=context, added_cond_kwargs=added, return_dict=False)[0]
        assert isinstance(result, torch.Tensor)
        return result

    return Host(
        "unet", _layers.built_in_name(model) or "custom", tuple(inputs), "out_sample",
        made.free(rows=0, height=2, width=3), call, lambda *_: None,
    )  # fmt: skip


def _flux(model: Any, config: Any, sizes: Sizes) -> Host:
    made = _Example(model, sizes)
    height, width = sizes.size or (6, 8)
    if height % 2 or width % 2:
        raise errors.InvalidArgumentError(f"size is {height} x {width}; FLUX takes tokens of 2 x 2: even numbers")
    height, width = height // 2, width // 2
    ids = torch.zeros(height * width, 3)
    ids[:, 1], ids[:, 2] = torch.arange(height * width) // width, torch.arange(height * width) % width
    wide, names = config.joint_attention_dim, made.free(rows=0)
    inputs = [
        Input("hidden_states", made.random(made.rows, height * width, config.in_channels),
              made.free(rows=0, image_tokens=1)),
        Input("encoder_hidden_states", made.random(made.rows, made.text, wide), made.free(rows=0, text_tokens=1)),
        Input("pooled_projections", made.random(made.rows, config.pooled_projection_dim), names),
        Input("timestep", torch.full((made.rows,), 0.5), names),
        Input("img_ids", ids, made.free(image_tokens=0)),
        Input("txt_ids", torch.zeros(made.text, 3), made.free(text_tokens=0)),
    ]  # fmt: skip
    if config.guidance_embeds:
        inputs.append(Input("guidance", torch.full((made.rows,), 3.5), names))

    def call(hidden: Any, context: Any, pooled: Any, timestep: Any, img_ids: Any, txt_ids: Any, *more: Any) -> Any:
        return model(
            hidden_states=hidden, encoder_hidden_states=context, pooled_projections=pooled, timestep=timestep,
            img_ids=img_ids, txt_ids=txt_ids, guidance=more[0] if more else None, return_dict=False,
        )[0]  # fmt: skip

    def image_size(*inputs: Any) -> tuple[Any, Any]:
        last = inputs[4].max(dim=0).values + 1
        return last[1].to(torch.int64), last[2].to(torch.int64)

    return Host(
        "flux", _layers.built_in_name(model) or "custom", tuple(inputs), "out_sample",
        made.free(rows=0, image_tokens=1), call, image_size,
    )  # fmt: skip


def _sd3(model: Any, config: Any, sizes: Sizes) -> Host:
    made = _Example(model, sizes)
    patch = config.patch_size
    height, width = sizes.size or (4 * patch, 6 * patch)
    inputs = [
        Input("hidden_states", made.random(made.rows, config.in_channels, height, width),
              made.free(rows=0, height=2, width=3)),
        Input("encoder_hidden_states", made.random(made.rows, made.text, config.joint_attention_dim),
              made.free(rows=0, text_tokens=1)),
        Input("pooled_projections", made.random(made.rows, config.pooled_projection_dim), made.free(rows=0)),
        Input("timestep", torch.full((made.rows,), 500.0), made.free(rows=0)),
    ]  # fmt: skip

    def call(hidden: Any, context: Any, pooled: Any, timestep: Any) -> Any:
        return model(
            hidden_states=hidden, encoder_hidden_states=context, pooled_projections=pooled, timestep=timestep,
            return_dict=False,
        )[0]  # fmt: skip

    def image_size(*inputs: Any) -> tuple[Any, Any]:
        return inputs[0].shape[2] // patch, inputs[0].shape[3] // patch

    return Host(
        "sd3", "sd3", tuple(inputs), "out_sample", made.free(rows=0, height=2, width=3), call,
        image_size,
    )  # fmt: skip
