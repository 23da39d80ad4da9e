"""What a run needs, before anything starts: parameters, memory, operations of a step. No weights are allocated."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Optional

import torch
from torch.utils.flop_counter import FlopCounterMode

from .. import errors
from .config import RunConfig
from .hosts.injection import Injection
from .hosts.table import host_table
from .modules import IdentityAdapter, IdentityModel, MaskedDecoder, MaskedDecoderConfig, MaskedTargets
from .modules.masked_decoder import CONDITION_LENGTH

_GIB = 1 << 30
# Weights, gradients, two moments and the average, in f32.
_TRAINED_BYTES = 20
# Bytes kept for the backward pass by each multiply-add layer's output element: f32, and bf16 under autocast.
_KEPT = {"f32": 4, "bf16": 2}


@dataclass(frozen=True)
class Plan:
    """The needs of a run. Memory is of one process and an estimate: weights and states exactly, what is kept for the
    backward pass by the outputs of every operation that autograd keeps."""

    trained: int
    """Parameters that are trained."""
    frozen: int
    """Parameters of the host and of a frozen image encoder."""
    layers: int
    """Attention layers of the host that the identity enters; 0 in stage 1."""
    states_gib: float
    """Weights, gradients, the optimiser's moments and the average."""
    frozen_gib: float
    activations_gib: float
    """Of one part of a step."""
    operations: float
    """Floating-point operations of a whole step, over all processes."""
    people_per_part: int
    """People of one part of a step in one process."""

    @property
    def memory_gib(self) -> float:
        """All together."""
        return self.states_gib + self.frozen_gib + self.activations_gib

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "memory_gib": self.memory_gib}

    def __str__(self) -> str:
        return (
            f"trained     {self.trained / 1e6:10.1f} M parameters\n"
            f"frozen      {self.frozen / 1e6:10.1f} M parameters\n"
            f"layers      {self.layers:10d}\n"
            f"people      {self.people_per_part:10d} in each part of a step\n"
            f"memory      {self.memory_gib:10.1f} GiB in each process: {self.states_gib:.1f} weights, gradients, "
            f"moments and average, {self.frozen_gib:.1f} frozen, about {self.activations_gib:.1f} kept for backward\n"
            f"operations  {self.operations:10.2e} a step: {self.operations / 1e14:.1f} s at 100 TFLOP/s"
        )


class _Kept:
    """Counts the bytes that autograd keeps, each tensor once."""

    def __init__(self, bytes_per_number: int) -> None:
        self.bytes = 0
        self._seen: set[int] = set()
        self._each = bytes_per_number
        self._parameters: set[int] = set()

    def ignore(self, module: torch.nn.Module) -> None:
        self._parameters |= {id(parameter) for parameter in module.parameters()}

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        base = tensor if tensor._base is None else tensor._base
        if id(base) not in self._seen and id(base) not in self._parameters and not isinstance(base, torch.nn.Parameter):
            self._seen.add(id(base))
            self._alive = [*getattr(self, "_alive", []), base]  # an id is only new while its tensor lives
            self.bytes += base.numel() * (self._each if base.is_floating_point() else base.element_size())
        return tensor


def plan(config: RunConfig, processes: int = 1) -> Plan:
    """The needs of a run over `processes` processes without sharding (DDP). A host must be a folder on this machine, or
    one of the shapes in `KNOWN`. Raises the errors of `omniid.errors`."""
    parts = processes * config.optimiser.accumulate
    if config.sampler.people % parts:
        raise errors.InvalidArgumentError(
            f"a step's {config.sampler.people} people do not divide into {config.optimiser.accumulate} parts of "
            f"{processes} processes"
        )
    people = config.sampler.people // parts
    backbone = config.model.backbone
    if backbone is not None and not Path(backbone).exists():
        # As it is described in [model], whose defaults are CLIP ViT-H/14.
        config = replace(config, model=replace(config.model, backbone=None))
    with torch.device("meta"):
        from .models import identity_of, trainable

        identity = identity_of(config.model)
        trainable(identity, config.model)
        measured = _masked(config, identity) if config.host is None else _host(config, identity)
    trained, frozen_bytes, frozen, layers, kept, flops = measured
    return Plan(
        trained, frozen, layers, trained * _TRAINED_BYTES / _GIB, frozen_bytes / _GIB, kept * people / _GIB,
        flops * config.sampler.people, people,
    )  # fmt: skip


_Measured = tuple[int, float, int, int, float, float]


def _count(module: torch.nn.Module, trained: bool) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad == trained)


def _photos(config: RunConfig, identity: IdentityModel) -> torch.Tensor:
    size = identity.backbone.config["image_size"]
    return torch.empty(1, config.sampler.most_inputs, 3, size, size)


def _masked(config: RunConfig, identity: IdentityModel) -> _Measured:
    masked, backbone = config.masked, identity.backbone.config
    patch = int(backbone["patch_size"])
    decoder = MaskedDecoder(
        MaskedDecoderConfig(masked.width, masked.depth, masked.heads, masked.condition, config.model.token_width, patch)
    )
    patches, targets = (backbone["image_size"] // patch) ** 2, config.sampler.targets
    visible, decoded = masked.visible(patches), masked.decoded(patches)

    def step() -> torch.Tensor:
        given = MaskedTargets(
            torch.empty(targets, visible, 3 * patch * patch) if visible else None,
            torch.empty(targets, visible, masked.width) if visible else None,
            torch.empty(targets, decoded, masked.width),
            None if masked.condition == "none" else torch.empty(targets, CONDITION_LENGTH[masked.condition]),
        )
        return decoder(identity(_photos(config, identity)), given).abs().mean()

    kept, flops = _measure(step, [identity, decoder], _KEPT[config.precision])
    trained = _count(identity, True) + _count(decoder, True)
    frozen = _count(identity, False)
    return trained, frozen * 4.0, frozen, 0, kept, flops


def _host(config: RunConfig, identity: IdentityModel) -> _Measured:
    host = config.host
    assert host is not None
    model = host_shape(host.model)
    model.requires_grad_(False)
    if host.gradient_checkpointing:
        model.enable_gradient_checkpointing()
        model.train()
    table = host_table(model)
    adapter = IdentityAdapter(table.layers, config.model.token_width)
    injection = Injection(model)
    rows = config.sampler.targets

    def step() -> torch.Tensor:
        pairs = adapter(identity(_photos(config, identity)))
        injection.set([(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in pairs])
        return one_pass(model, rows, host.size).float().square().mean()

    bits = 4 if host.precision == "f32" else 2
    kept, flops = _measure(step, [identity, adapter, model], max(_KEPT[config.precision], bits))
    injection.remove()
    trained = _count(identity, True) + _count(adapter, True)
    own, theirs = _count(identity, False), sum(p.numel() for p in model.parameters())
    return trained, own * 4.0 + theirs * bits, own + theirs, len(table.layers), kept, flops


def _measure(step: Any, modules: list[torch.nn.Module], each: int) -> tuple[float, float]:
    """Bytes kept and operations, forward and backward, of one person's part."""
    kept = _Kept(each)
    for module in modules:
        kept.ignore(module)
    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
        loss = step()
        loss.backward()
    return float(kept.bytes), float(counter.get_total_flops())


def one_pass(model: Any, rows: int, size: int) -> torch.Tensor:
    """A pass of a host of any kind on numbers of the right shapes."""
    from ..diffusers import _layers

    config = model.config
    if _layers.is_unet(model):
        context = config.cross_attention_dim
        context = context if isinstance(context, int) else context[0]
        added = None
        if config.get("addition_embed_type") == "text_time":
            wide = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
            added = {"text_embeds": torch.empty(rows, wide), "time_ids": torch.empty(rows, 6)}
        classes = None
        if config.get("class_embed_type") == "projection":
            classes = torch.empty(rows, config.projection_class_embeddings_input_dim)
        sample = torch.empty(rows, config.in_channels, size // 8, size // 8)
        return model(
            sample, torch.empty(rows), torch.empty(rows, 77, context), added_cond_kwargs=added, class_labels=classes,
            return_dict=False,
        )[0]  # fmt: skip
    if _layers.is_sd3(model):
        sample = torch.empty(rows, config.in_channels, size // 8, size // 8)
        return model(
            hidden_states=sample, timestep=torch.empty(rows),
            encoder_hidden_states=torch.empty(rows, 154, config.joint_attention_dim),
            pooled_projections=torch.empty(rows, config.pooled_projection_dim), return_dict=False,
        )[0]  # fmt: skip
    tokens = (size // 16) ** 2
    guidance = torch.empty(rows) if config.guidance_embeds else None
    return model(
        hidden_states=torch.empty(rows, tokens, config.in_channels), timestep=torch.empty(rows),
        encoder_hidden_states=torch.empty(rows, 512, config.joint_attention_dim),
        pooled_projections=torch.empty(rows, config.pooled_projection_dim), img_ids=torch.empty(tokens, 3),
        txt_ids=torch.empty(512, 3), guidance=guidance, return_dict=False,
    )[0]  # fmt: skip


KNOWN: dict[str, dict[str, Any]] = {
    "sd15": {
        "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8,
    },
    "sdxl": {
        "sample_size": 128, "cross_attention_dim": 2048, "attention_head_dim": (5, 10, 20),
        "block_out_channels": (320, 640, 1280), "use_linear_projection": True,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10), "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    "flux": {"guidance_embeds": True},
    "sd35_large": {
        "sample_size": 128, "num_layers": 38, "num_attention_heads": 38, "attention_head_dim": 64,
        "caption_projection_dim": 2432, "joint_attention_dim": 4096, "pooled_projection_dim": 2048,
        "in_channels": 16, "out_channels": 16, "pos_embed_max_size": 192, "qk_norm": "rms_norm",
    },
    "sd3_medium": {
        "sample_size": 128, "num_layers": 24, "num_attention_heads": 24, "attention_head_dim": 64,
        "caption_projection_dim": 1536, "joint_attention_dim": 4096, "pooled_projection_dim": 2048,
        "in_channels": 16, "out_channels": 16, "pos_embed_max_size": 192,
    },
}  # fmt: skip
"""Published hosts by their shapes, for plans on machines that do not have them."""


_NAMES = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "sd15",
    "stabilityai/stable-diffusion-xl-base-1.0": "sdxl",
    "stabilityai/stable-diffusion-3-medium-diffusers": "sd3_medium",
    "stabilityai/stable-diffusion-3.5-large": "sd35_large",
    "black-forest-labs/FLUX.1-dev": "flux",
    "black-forest-labs/FLUX.1-schnell": "flux",
}


def host_shape(name: str) -> Any:
    """The UNet or transformer of a host, without weights: of a known shape, or of a folder's configuration."""
    import diffusers

    name = name if Path(name).is_dir() else _NAMES.get(name, name)
    known = name in KNOWN and not Path(name).is_dir()
    if known and name == "flux":
        return diffusers.FluxTransformer2DModel(**KNOWN[name])
    if known and name.startswith("sd3"):
        return diffusers.SD3Transformer2DModel(**KNOWN[name])
    if known:
        return diffusers.UNet2DConditionModel(**KNOWN[name])
    if name.endswith(".safetensors"):
        import json

        import safetensors

        with safetensors.safe_open(name, "pt") as file:
            config = json.loads((file.metadata() or {})["omniid.minihost.config"])
        return diffusers.UNet2DConditionModel.from_config(config["unet"])
    folder = Path(name)
    for part, kind in (("unet", "UNet2DConditionModel"), ("transformer", None), ("", None)):
        place = folder / part / "config.json"
        if place.is_file():
            import json

            config = json.loads(place.read_text(encoding="utf-8"))
            found: Optional[str] = config.get("_class_name", kind)
            if found and hasattr(diffusers, found):
                return getattr(diffusers, found).from_config(config)
    raise errors.IoError(
        f"host {name}: a plan needs its folder, with unet/config.json or transformer/config.json, or one of "
        f"{', '.join(KNOWN)}"
    )
