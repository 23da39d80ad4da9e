"""Attaching identities to diffusers models, and detaching them."""

from __future__ import annotations

from typing import Any, Callable, Literal, Optional

import torch

from .. import errors
from ..conditioning import Conditioning, Step
from ..enums import Injection, Role
from ..torch_attention import KeyStore
from . import _layers, _lora, _sampling, _watch
from ._layers import Target
from ._sampling import Guidance, Timestep

Mode = Literal["auto", "inject", "keys"]
"""How an identity's attention gets into a layer's output; see `attach`."""


class Attachment:
    """A conditioning that is attached to a model. A context manager: leaving it detaches.

    `scale`, `lora_scale` and `step` may be changed at any time, also while a pipeline runs, for instance in its
    `callback_on_step_end`.
    """

    conditioning: Conditioning
    """What is injected."""
    scale: float
    """Multiplies every identity's own scale; 0 leaves the model as it is, but for the LoRA."""
    lora_scale: float
    """Strength of the LoRA that belongs to the identity model; 1 is what it was trained with. `scale` has no effect on
    it."""
    step: Optional[Step]
    """The step, for models without a pipeline. None: the pipeline's scheduler is asked."""

    def __init__(
        self,
        target: Target,
        conditioning: Conditioning,
        scale: float,
        guidance: Guidance,
        step: Step | Callable[[Timestep], Step] | None,
        mode: Mode,
        lora_scale: float,
    ) -> None:
        if not isinstance(conditioning, Conditioning):
            raise errors.InvalidArgumentError(
                f"conditioning is of type {type(conditioning).__name__}, not a Conditioning"
            )
        if mode not in ("auto", "inject", "keys"):
            raise errors.InvalidArgumentError(f"mode is {mode!r}; it must be 'auto', 'inject' or 'keys'")
        self.model, self._pipeline = _layers.model_of(target)
        self._unet = _layers.is_unet(self.model)
        # Pipelines with UNets and SD3 put both sides of guidance into one batch.
        self._both_sides = self._unet or _layers.is_sd3(self.model)
        if guidance is None and self._both_sides and self._pipeline is None:
            _sampling.chunk_roles(guidance, None, None, 1, True)  # says what is missing
        if conditioning.injection != Injection.ADD and not self._unet:
            raise errors.UnsupportedError(
                f"injection {conditioning.injection.name.lower()!r} needs the output of the attention to the text, "
                "which only the cross-attention layers of UNets have; condition with injection='add' for this model"
            )
        self.conditioning = conditioning
        self.scale, self.lora_scale = scale, lora_scale
        self._step_function: Callable[[Timestep], Step] | None = step if callable(step) else None
        self.step = None if callable(step) else step
        self._guidance = guidance
        self._mode = mode
        if mode == "keys" and conditioning.is_residual:
            raise errors.UnsupportedError(
                "mode 'keys': PuLID-FLUX and WithAnyone have weights that run at every step, inside the library; mode "
                "'auto' or 'inject' uses them"
            )
        if mode == "keys" and conditioning.timesteps:
            raise errors.UnsupportedError(
                "mode 'keys': SD3.5's layers attend to the image and the identity together, inside the library; mode "
                "'auto' or 'inject' uses it"
            )
        self._layers = {name: index for index, name in _layers.match(self.model, conditioning)}
        self._before_projection = not self._unet and _layers.has_single_blocks(conditioning)
        self._store = KeyStore(conditioning)
        self._chunks: tuple[Role, ...] = (Role.CONDITIONAL,)
        self._now: Step | None = None
        self._latent_size: tuple[int, int] | None = None
        # Before the watch: the query that it takes has the LoRA in it.
        self._lora_now = lora_scale
        self._hooks = []
        if conditioning.lora is not None and lora_scale != 0:
            self._hooks = _lora.hook(self.model, conditioning.lora, lambda: self._lora_now)
        self._attached = True
        _watch.watch(self.model).add(self)

    @property
    def attached(self) -> bool:
        """Whether it still is attached."""
        return self._attached

    def detach(self) -> None:
        """Removes it from the model. May be called again."""
        if self._attached:
            self._attached = False
            for hook in self._hooks:
                hook.remove()
            self._hooks.clear()
            _watch.watch(self.model).remove(self)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()

    def begin(self, now: _watch.Pass) -> None:
        """Called by the hooks: a forward pass of the model begins."""
        self._lora_now = self._share_of_lora()
        if self.scale == 0:
            return
        self._chunks = (Role.CONDITIONAL,)
        if self._guidance is not None or not now.conditional:
            self._chunks = _sampling.chunk_roles(
                self._guidance, self._pipeline, now.context, now.batch, self._both_sides
            )
        self._latent_size = now.latent_size
        self._now = None
        if self.conditioning.has_step_ranges:
            self._now = self._find_step(now.timestep)
        if self.conditioning.timesteps:
            fraction = None if self._now is None else self._now.fraction
            # Flow matching: sigma runs from 1 to 0, the timestep from 1000 to 0.
            self._now = Step(fraction, _sampling.number_of(now.timestep) / 1000.0)

    def _share_of_lora(self) -> float:
        """The strength of this attachment's LoRA. Of several with the same one the first acts for all, with the largest
        strength: the model has its LoRA once, however many people are in it."""
        lora = self.conditioning.lora
        if lora is None or not self._hooks:
            return 0.0
        same = [
            other
            for other in attachments(self.model)
            if other._hooks and other.conditioning.lora is not None and other.conditioning.lora.model == lora.model
        ]
        return max(other.lora_scale for other in same) if same and same[0] is self else 0.0

    def _find_step(self, timestep: Timestep) -> Step:
        if self._step_function is not None:
            return self._step_function(timestep)
        step = self.step
        if step is None and self._pipeline is not None:
            step = _sampling.pipeline_step(self._pipeline, _sampling.number_of(timestep))
        if step is None:
            raise errors.InvalidArgumentError(
                "an identity is limited to a range of steps, and which step this is cannot be seen from a model alone: "
                "attach to the pipeline, set the attachment's step, or pass step=function of the timestep"
            )
        return step

    @property
    def needs_latent_size(self) -> bool:
        """Whether an identity has a mask."""
        return self.conditioning.has_masks

    @property
    def before_projection(self) -> bool:
        """Whether, in double blocks of FLUX, it adds to the attention before its output projection (InstantX)."""
        return self._before_projection

    def wants(self, name: str) -> bool:
        """Called by the hooks: whether identities are injected into the layer of that name."""
        return self.scale != 0 and name in self._layers

    def add(
        self, name: str, query: torch.Tensor, output: torch.Tensor, image: _watch.ImagePair | None = None
    ) -> torch.Tensor:
        """Called by the hooks: adds the identities' attention of one layer, to `output` itself or to a copy that is
        returned."""
        index = self._layers.get(name)
        if index is None or self.scale == 0:
            return output
        if image is not None and self.conditioning.timesteps:
            return self._add_joint(index, query, output, image)
        if image is not None:
            query = self._normalised(name, query)
        if self._before_projection and self.needs_latent_size:
            return self._add_to_image(name, index, query, output)
        return self._add(index, query, output)

    def _add_to_image(self, name: str, index: int, query: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """Where an identity has a mask, the text tokens of a single block's sequence are left alone: a text token is
        nowhere in the picture."""
        height, width = self._latent_size or (0, 0)
        text = query.shape[1] - height * width if name.startswith("single_") else 0
        if text <= 0:
            return self._add(index, query, output)
        image = self._add(index, query[:, text:], output[:, text:])
        return torch.cat([output[:, :text], image], dim=1)

    def _normalised(self, name: str, query: torch.Tensor) -> torch.Tensor:
        """The query of a layer of SD3 as its own norm leaves it, which attention to the identity alone takes."""
        attn: Any = self.model.get_submodule(name)
        norm, heads = attn.norm_q, int(attn.heads)
        if norm is None:
            return query
        normalised: torch.Tensor = norm(query.unflatten(-1, (heads, -1))).flatten(2)
        return normalised

    def _add_joint(
        self, index: int, query: torch.Tensor, output: torch.Tensor, image: _watch.ImagePair
    ) -> torch.Tensor:
        """SD3.5: attention to the image and the identity together, in the library."""
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (query, output, *image)):
            raise errors.UnsupportedError(
                "the layer needs gradients, but the attention of SD3.5's identities runs inside the library, which has "
                "none; run the model under torch.no_grad()"
            )
        roles = _sampling.row_roles(self._chunks, query.shape[0])
        parts = [query, *image]
        place = output
        if not self._store.can_inject(query, output):
            if self._mode == "inject":
                raise errors.UnsupportedError(
                    f"mode 'inject': the query is on {query.device} and of {query.dtype}; it must be on the device of "
                    "the conditioning, of float32, float16 or bfloat16. mode 'auto' copies it"
                )
            device = self._store.device_type or "cpu"
            parts = [part.to(device, torch.float32) for part in parts]
            # What is added comes back alone, so that the layer's own output keeps its bits.
            place = torch.zeros_like(parts[0])
        elif query.dtype != output.dtype:
            parts = [part.to(output.dtype) for part in parts]
        self.conditioning.inject(
            index, parts[0], place, scale=self.scale, roles=roles, step=self._now, latent_size=self._latent_size,
            image_keys=parts[1], image_values=parts[2],
        )  # fmt: skip
        return output if place is output else output + place.to(output.device, output.dtype)

    def add_hidden(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        """Called by the hooks: adds the identities to the image's hidden state behind a block, to `hidden` itself or to
        a copy that is returned."""
        index = self._layers.get(name)
        if index is None or self.scale == 0 or not self.conditioning.is_residual:
            return hidden
        if torch.is_grad_enabled() and hidden.requires_grad:
            raise errors.UnsupportedError(
                "the hidden state needs gradients, but PuLID-FLUX and WithAnyone run inside the library, which has "
                "none; run the model under torch.no_grad()"
            )
        roles = _sampling.row_roles(self._chunks, hidden.shape[0])
        place = hidden
        if not self._store.can_inject(hidden, hidden):
            if self._mode == "inject":
                raise errors.UnsupportedError(
                    f"mode 'inject': the hidden state is on {hidden.device} and of {hidden.dtype}; it must be on the "
                    "device of the conditioning, of float32, float16 or bfloat16. mode 'auto' copies it"
                )
            place = hidden.to(self._store.device_type or "cpu", torch.float32)
        self.conditioning.inject_residual(
            index, place, scale=self.scale, roles=roles, step=self._now, latent_size=self._latent_size
        )
        return hidden if place is hidden else place.to(hidden.device, hidden.dtype)

    def _add(self, index: int, query: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        roles = _sampling.row_roles(self._chunks, query.shape[0])
        if self._injects(query, output):
            if query.dtype != output.dtype:
                query = query.to(output.dtype)
            self.conditioning.inject(
                index, query, output, scale=self.scale, roles=roles, step=self._now, latent_size=self._latent_size
            )
            return output
        delta = self._store.delta(index, query, roles, self.scale, self._now, self._latent_size, output)
        return output if delta is None else output + delta.to(output.dtype)

    def _injects(self, query: torch.Tensor, output: torch.Tensor) -> bool:
        """Whether the library writes into the output's memory, or PyTorch adds to it."""
        if self._mode == "keys" or not self._store.device_type:
            return False
        fits = self._store.can_inject(query, output)
        if self._mode == "inject" and not fits:
            raise errors.UnsupportedError(
                f"mode 'inject': the query is on {query.device} and of {query.dtype}; it must be on the device of the "
                "conditioning, of float32, float16 or bfloat16, and without gradients. mode 'auto' uses the keys then"
            )
        return fits

    def __repr__(self) -> str:
        state = "attached to" if self._attached else "detached from"
        return f"Attachment({state} {type(self.model).__name__}, scale={self.scale}, {self.conditioning!r})"


def attach(
    target: Target,
    conditioning: Conditioning,
    *,
    scale: float = 1.0,
    guidance: Guidance = None,
    step: Step | Callable[[Timestep], Step] | None = None,
    mode: Mode = "auto",
    lora_scale: float = 1.0,
) -> Attachment:
    """Injects identities into a diffusers model from now on.

    `target` is a pipeline with a UNet (Stable Diffusion 1.x, SDXL), a FLUX or an SD3.5 transformer, or such a model
    itself. Which adapter of FLUX it is decides where it acts: XLabs and InstantX in the attention, PuLID and WithAnyone
    on the image's hidden state behind the blocks, in the library only: on another device, or in another type, it is
    copied there. So is what the layers of SD3.5 hand over to InstantX' adapter, whose conditioning needs the
    `timesteps` of the schedule. Adapters that `omniid.training` makes for SD3 attend to the identity alone and need
    none.
    Several conditionings may be attached; they add up. IP-Adapters, LoRA and other attention processors stay, and may
    be loaded and removed while identities are attached.

    `guidance` is how the rows of a batch follow the prompt. None: a pipeline is asked, and a UNet or SD3 without a
    pipeline is refused. True: unconditional rows, then as many conditional ones, as diffusers has them. False: all rows
    are conditional. A sequence of "conditional" and "unconditional": the equal parts of the batch, in order. A function
    of the batch size that returns such a sequence.

    `step` is where sampling is, for identities that are limited to a range of steps: a Step, or a function that gives
    one for the model's timestep. None: the pipeline's scheduler is asked.

    `mode`: "inject" lets the library add to the layer's output in its own memory, for tensors on the conditioning's
    device. "keys" runs PyTorch's attention on the library's keys and values, copied once if they are on another device
    or of another type; it has gradients. "auto" takes the first where it can.

    `lora_scale` is the strength of the LoRA that belongs to the models of the FaceID family, on the UNet's attention
    layers. `scale` does not change it, as in diffusers. 0 leaves it out for good, for a pipeline that has loaded it
    already. Several attachments of one model share its LoRA, at the largest strength. PEFT is not needed.
    """
    return Attachment(target, conditioning, scale, guidance, step, mode, lora_scale)


def detach(target: Target | Attachment) -> None:
    """Detaches one attachment from its model, or everything from a pipeline or a model. Nothing stays behind."""
    for attachment in (target,) if isinstance(target, Attachment) else attachments(target):
        attachment.detach()


def attachments(target: Target) -> tuple[Attachment, ...]:
    """What is attached to a pipeline or a model, in the order of attaching."""
    model, _ = _layers.model_of(target)
    return tuple(watcher for watcher in _watch.watchers(model) if isinstance(watcher, Attachment))
