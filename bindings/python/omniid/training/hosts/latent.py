"""Hosts with a VAE and text encoders: UNets of Stable Diffusion, SD3 and FLUX transformers, from diffusers."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import diffusers
import torch
from diffusers import DiffusionPipeline

from ... import draw_keypoints, errors
from ...diffusers import _layers
from ..config import HostConfig
from ..data.people import Face
from ..objectives.noise import Diffusion, Flow, FlowToSample, of_scheduler
from .base import Prompt, View
from .table import host_table
from .times import flow_times

ENCODERS = ("vae", "text_encoder", "text_encoder_2", "text_encoder_3")
"""Parts of a pipeline that are needed until everything is cached."""

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


_ENDS = 64
"""Numbers at either end of a tensor that tell it from others."""


class LatentHost:
    """What UNets and transformers of diffusers have in common."""

    noise: Diffusion | Flow | FlowToSample

    def __init__(self, pipeline: Any, config: HostConfig, device: torch.device) -> None:
        self.pipeline, self.config, self.device = pipeline, config, device
        self.dtype = DTYPES[config.precision]
        self.model: Any = _layers.model_of(pipeline)[0]
        self.model.requires_grad_(False)
        self.model.to(device, self.dtype).eval()
        if config.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
            # Checkpointing of diffusers depends on the mode; nothing in these models has dropout.
            self.model.train()
        self.vae: Any = getattr(pipeline, "vae", None)
        self.scheduler: Any = pipeline.scheduler
        for name in ENCODERS:
            module = getattr(pipeline, name, None)
            if module is not None:
                # A VAE in half precision overflows in SDXL.
                module.requires_grad_(False).to(device, torch.float32 if name == "vae" else self.dtype).eval()
        self.size = config.size
        self.table = host_table(self.model)
        self.control: Any = None if config.controlnet is None else self._control(config.controlnet)

    def _control(self, name: str) -> Any:
        raise errors.UnsupportedError(f"controlnet {name!r} is for UNets; this host is a {type(self.model).__name__}")

    @torch.no_grad()
    def encode_pictures(self, pictures: torch.Tensor) -> torch.Tensor:
        """Latents, the mean of the VAE's distribution, scaled as the host takes them."""
        if self.vae is None:
            raise errors.InvalidArgumentError(
                f"{self.config.model}: a host without a VAE cannot be trained on pictures; name the whole pipeline"
            )
        latents = self.vae.encode(pictures.to(self.vae.device, torch.float32)).latent_dist.mode()
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        scaled: torch.Tensor = (latents - shift) * self.vae.config.scaling_factor
        return scaled.to(self.device)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures, 0 to 1."""
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        scaled = latents.to(self.vae.device, torch.float32) / self.vae.config.scaling_factor + shift
        pictures = self.vae.decode(scaled, return_dict=False)[0]
        result: torch.Tensor = (pictures / 2 + 0.5).clamp(0, 1)
        return result

    def release_encoders(self) -> None:
        """Drops the text encoders. The VAE stays, on the CPU: sample grids need it."""
        for name in ENCODERS[1:]:
            if hasattr(self.pipeline, name):
                setattr(self.pipeline, name, None)
        if self.vae is not None:
            self.vae.to("cpu")
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def digest(self) -> str:
        """Of the configurations of VAE and text encoders, and of the beginning and end of every tensor: a part that was
        trained on has others, and reading all of a large text encoder would take long."""
        found = hashlib.sha256()
        for name in ENCODERS:
            module = getattr(self.pipeline, name, None)
            if module is None:
                continue
            config = module.config if isinstance(module.config, dict) else module.config.to_dict()
            # Where it was loaded from says nothing.
            about = {key: value for key, value in config.items() if not key.startswith("_")}
            found.update(f"{name}\n{json.dumps(about, sort_keys=True, default=str)}\n".encode())
            for key, tensor in module.state_dict().items():
                flat = tensor.detach().flatten()
                ends = torch.cat([flat[:_ENDS], flat[-_ENDS:]]).double().cpu()
                found.update(f"{key} {tensor.dtype} {list(tensor.shape)}\n".encode() + ends.numpy().tobytes())
        return found.hexdigest()

    def times(self, steps: int, shape: Sequence[int]) -> Optional[list[float]]:
        """By the configuration of the host's scheduler. Two by two positions of a latent are a token of SD3 and
        FLUX."""
        if not isinstance(self.noise, Flow):
            return None
        return flow_times(self.scheduler, steps, shape[-2] * shape[-1] // 4)

    def encode_prompts(self, prompts: Sequence[str]) -> list[Prompt]:
        """What the text encoders make of each prompt; zeros for a host without them."""
        if getattr(self.pipeline, "text_encoder", None) is None:
            return [self._no_prompt() for _ in prompts]
        with torch.no_grad():
            return [{name: value[0].cpu() for name, value in self._prompt(text).items()} for text in prompts]

    def _prompt(self, text: str) -> Prompt:
        raise NotImplementedError

    def _no_prompt(self) -> Prompt:
        raise NotImplementedError

    def predict(self, sample: torch.Tensor, time: torch.Tensor, prompt: Prompt, view: View) -> torch.Tensor:
        """A pass of the model."""
        raise NotImplementedError

    def place_weights(self, view: View, sample: torch.Tensor, background: float) -> Optional[torch.Tensor]:
        """Of the latent's positions, from the faces' boxes."""
        if background >= 1.0 or sample.ndim != 4:
            return None
        return face_weights(view.faces, self.size, sample.shape[-1], background).to(sample.device)

    def text_weights(self) -> Optional[list[tuple[torch.Tensor, torch.Tensor]]]:
        return None


def face_weights(faces: Sequence[Optional[Face]], size: int, side: int, background: float) -> torch.Tensor:
    """`[rows, 1, side, side]`: 1 within the boxes of faces in a picture of `size` pixels and in pictures without a
    known face, `background` elsewhere."""
    weights = torch.full((len(faces), 1, side, side), background)
    for row, face in zip(weights, faces):
        if face is None:
            row.fill_(1.0)
            continue
        left, top, right, bottom = (int(value / size * side) for value in face.bounds)
        row[:, max(top, 0) : bottom + 1, max(left, 0) : right + 1] = 1.0
    return weights


class UNetHost(LatentHost):
    """SD1.x, SD2.x and SDXL."""

    def __init__(self, pipeline: Any, config: HostConfig, device: torch.device) -> None:
        super().__init__(pipeline, config, device)
        self._wants_times = self.model.config.get("addition_embed_type") == "text_time"
        flow = Flow(config.time_mean, config.time_std, config.time_shift, 1000.0)
        self.noise = of_scheduler(self.scheduler, config.prediction, config.min_snr_gamma, flow)

    def _control(self, name: str) -> Any:
        try:
            model = diffusers.ControlNetModel.from_pretrained(name, torch_dtype=self.dtype)
        except (OSError, ValueError) as error:
            raise errors.IoError(f"controlnet {name}: {error}") from error
        return model.requires_grad_(False).to(self.device).eval()

    def _prompt(self, text: str) -> Prompt:
        found = self.pipeline.encode_prompt(
            text, device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        if self._wants_times:
            return {"context": found[0], "pooled": found[2]}
        return {"context": found[0]}

    def _no_prompt(self) -> Prompt:
        config = self.model.config
        context = config.cross_attention_dim
        prompt = {"context": torch.zeros(1, context if isinstance(context, int) else context[0])}
        if self._wants_times:
            wide = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
            prompt["pooled"] = torch.zeros(wide)
        return prompt

    def predict(self, sample: torch.Tensor, time: torch.Tensor, prompt: Prompt, view: View) -> torch.Tensor:
        sample, context = sample.to(self.dtype), prompt["context"].to(self.device, self.dtype)
        added = None
        if self._wants_times:
            sizes = torch.tensor([self.size, self.size, 0, 0, self.size, self.size], device=self.device)
            added = {
                "text_embeds": prompt["pooled"].to(self.device, self.dtype),
                "time_ids": sizes.to(self.dtype).expand(len(sample), -1),
            }
        more = {} if self.control is None else self._residuals(sample, time, context, added, view)
        found: torch.Tensor = self.model(
            sample, time, encoder_hidden_states=context, added_cond_kwargs=added, return_dict=False, **more
        )[0]
        return found

    def _residuals(self, sample: Any, time: Any, context: Any, added: Any, view: View) -> dict[str, Any]:
        pictures = []
        for face in view.faces:
            if face is None:
                pictures.append(torch.zeros(3, self.size, self.size))
            else:
                drawn = torch.from_numpy(draw_keypoints(face.landmarks, (self.size, self.size)))
                pictures.append(drawn.permute(2, 0, 1).float() / 255)
        control = torch.stack(pictures).to(self.device, self.dtype)
        with torch.no_grad():
            down, middle = self.control(
                sample, time, encoder_hidden_states=context, controlnet_cond=control, added_cond_kwargs=added,
                return_dict=False,
            )  # fmt: skip
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    def text_weights(self) -> Optional[list[tuple[torch.Tensor, torch.Tensor]]]:
        layers = _layers.attention_layers(self.model).values()
        return [(attn.to_k.weight.float(), attn.to_v.weight.float()) for attn in layers]


def _need_flow(config: HostConfig) -> None:
    if config.prediction not in ("auto", "flow"):
        raise errors.UnsupportedError(
            f"{config.model}: [host] prediction is {config.prediction!r}; SD3 and FLUX transformers predict 'flow'"
        )
    if config.min_snr_gamma > 0:
        raise errors.UnsupportedError(f"{config.model}: [host] min_snr_gamma is for hosts that predict ε or v")


class StableDiffusion3Host(LatentHost):
    """SD3 and SD3.5 transformers."""

    def __init__(self, pipeline: Any, config: HostConfig, device: torch.device) -> None:
        super().__init__(pipeline, config, device)
        _need_flow(config)
        self.noise = Flow(config.time_mean, config.time_std, config.time_shift, 1000.0)

    def _prompt(self, text: str) -> Prompt:
        found = self.pipeline.encode_prompt(text, None, None, device=self.device, do_classifier_free_guidance=False)
        return {"context": found[0], "pooled": found[2]}

    def _no_prompt(self) -> Prompt:
        config = self.model.config
        return {
            "context": torch.zeros(1, config.joint_attention_dim),
            "pooled": torch.zeros(config.pooled_projection_dim),
        }

    def predict(self, sample: torch.Tensor, time: torch.Tensor, prompt: Prompt, view: View) -> torch.Tensor:
        found: torch.Tensor = self.model(
            hidden_states=sample.to(self.dtype), timestep=time,
            encoder_hidden_states=prompt["context"].to(self.device, self.dtype),
            pooled_projections=prompt["pooled"].to(self.device, self.dtype), return_dict=False,
        )[0]  # fmt: skip
        return found


class FluxHost(LatentHost):
    """FLUX.1 transformers. Latents are packed: 2 × 2 positions are one token."""

    def __init__(self, pipeline: Any, config: HostConfig, device: torch.device) -> None:
        super().__init__(pipeline, config, device)
        _need_flow(config)
        self.noise = Flow(config.time_mean, config.time_std, config.time_shift, 1.0)

    def _prompt(self, text: str) -> Prompt:
        context, pooled, _ = self.pipeline.encode_prompt(text, None, device=self.device, num_images_per_prompt=1)
        return {"context": context, "pooled": pooled}

    def _no_prompt(self) -> Prompt:
        config = self.model.config
        return {
            "context": torch.zeros(1, config.joint_attention_dim),
            "pooled": torch.zeros(config.pooled_projection_dim),
        }

    def predict(self, sample: torch.Tensor, time: torch.Tensor, prompt: Prompt, view: View) -> torch.Tensor:
        rows, channels, height, width = sample.shape
        packed = sample.reshape(rows, channels, height // 2, 2, width // 2, 2)
        packed = packed.permute(0, 2, 4, 1, 3, 5).reshape(rows, height * width // 4, channels * 4)
        places = torch.zeros(height // 2, width // 2, 3, device=self.device, dtype=self.dtype)
        places[..., 1] = torch.arange(height // 2, device=self.device)[:, None]
        places[..., 2] = torch.arange(width // 2, device=self.device)[None, :]
        context = prompt["context"].to(self.device, self.dtype)
        guidance = None
        if self.model.config.guidance_embeds:
            guidance = torch.full((rows,), self.config.guidance, device=self.device, dtype=self.dtype)
        found = self.model(
            hidden_states=packed.to(self.dtype), timestep=time.to(self.dtype), encoder_hidden_states=context,
            pooled_projections=prompt["pooled"].to(self.device, self.dtype), img_ids=places.flatten(0, 1),
            txt_ids=torch.zeros(context.shape[1], 3, device=self.device, dtype=self.dtype), guidance=guidance,
            return_dict=False,
        )[0]  # fmt: skip
        found = found.reshape(rows, height // 2, width // 2, channels, 2, 2)
        result: torch.Tensor = found.permute(0, 3, 1, 4, 2, 5).reshape(rows, channels, height, width)
        return result


def open_pipeline(config: HostConfig) -> Any:
    """The diffusers pipeline of a folder or name. Raises IoError, FormatError."""
    # The VAE is used in f32, and so is it read: rounding to 16 bits would stay.
    types = {"vae": torch.float32, "default": DTYPES[config.precision]}
    try:
        return DiffusionPipeline.from_pretrained(config.model, torch_dtype=types, **_left_out(config.model))
    except (OSError, ValueError, KeyError) as error:
        raise errors.IoError(f"host {config.model}: {error}") from error


def _left_out(model: str) -> dict[str, None]:
    """Parts that a pipeline on this machine was saved without, such as text encoders: diffusers wants to be told."""
    index = Path(model) / "model_index.json"
    if not index.is_file():
        return {}
    parts = json.loads(index.read_text(encoding="utf-8"))
    return {name: None for name, kind in parts.items() if kind == [None, None]}


def latent_host(pipeline: Any, config: HostConfig, device: torch.device) -> LatentHost:
    """The host of a pipeline. Raises UnsupportedError for another kind of model."""
    model: Any = _layers.model_of(pipeline)[0]
    if _layers.is_unet(model):
        return UNetHost(pipeline, config, device)
    if hasattr(model, "single_transformer_blocks"):
        return FluxHost(pipeline, config, device)
    if _layers.is_sd3(model):
        return StableDiffusion3Host(pipeline, config, device)
    raise errors.UnsupportedError(
        f"{type(model).__name__}: identities are trained for UNets of Stable Diffusion, SD3 and FLUX transformers"
    )
