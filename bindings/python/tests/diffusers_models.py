"""Small diffusers models with random numbers, and the same IP-Adapter for diffusers and for OmniID."""

import contextlib
import math

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from native_model import write_safetensors
from omniid import Engine
from omniid.diffusers import host_layers
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

CONTEXT = 24
TOKENS = 4  # what diffusers reads a base IP-Adapter with


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 16
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / math.sqrt(fan))
    for name, parameter in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            parameter.data += 1.0
    return model.eval()


def vae():
    return AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4, sample_size=8).eval()


def sd_unet(seed=1):
    """The layout of SD1.5: one transformer block per attention, a plain lowest level, one head count."""
    return randomise(UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(16, 32, 32),
        norm_num_groups=8, down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=CONTEXT,
        attention_head_dim=4,
    ), seed)  # fmt: skip


def sd_pipeline(seed=1):
    return StableDiffusionPipeline(
        vae=vae(), text_encoder=None, tokenizer=None, unet=sd_unet(seed),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sdxl_pipeline(seed=2):
    """The layout of SDXL: a plain finest level, deeper transformers below, one head width."""
    unet = randomise(UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(16, 32, 32),
        norm_num_groups=8, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=CONTEXT,
        attention_head_dim=(2, 4, 4), transformer_layers_per_block=(1, 2, 3), use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=16 + 6 * 8,
    ), seed)  # fmt: skip
    return StableDiffusionXLPipeline(
        vae=vae(), text_encoder=None, text_encoder_2=None, tokenizer=None, tokenizer_2=None, unet=unet,
        scheduler=EulerDiscreteScheduler(), add_watermarker=False, force_zeros_for_empty_prompt=False,
    )  # fmt: skip


def flux_pipeline(seed=3):
    transformer = randomise(FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=2, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=CONTEXT, pooled_projection_dim=8, axes_dims_rope=(4, 4, 8),
    ), seed)  # fmt: skip
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(), text_encoder=None, tokenizer=None,
        text_encoder_2=None, tokenizer_2=None, transformer=transformer,
    )  # fmt: skip


def arguments(pipe, guidance, steps=3, seed=5, size=None):
    """What a pipeline is called with: random prompt embeddings, latents out."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    width = size or 8
    common = dict(
        num_inference_steps=steps, output_type="latent", generator=torch.Generator().manual_seed(9),
        prompt_embeds=random(1, 7, CONTEXT),
    )  # fmt: skip
    if guidance:
        common["negative_prompt_embeds"] = random(1, 7, CONTEXT)
    if isinstance(pipe, FluxPipeline):
        common |= dict(height=12, width=16, pooled_prompt_embeds=random(1, 8), true_cfg_scale=3.0 if guidance else 1.0)
        if guidance:
            common["negative_pooled_prompt_embeds"] = random(1, 8)
        return common
    common |= dict(height=8, width=width, guidance_scale=3.0 if guidance else 1.0)
    if isinstance(pipe, StableDiffusionXLPipeline):
        common["pooled_prompt_embeds"] = random(1, 16)
        if guidance:
            common["negative_pooled_prompt_embeds"] = random(1, 16)
    return common


def run(pipe, guidance=True, **changes):
    """The latents after a few steps."""
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad():
        return pipe(**(arguments(pipe, guidance) | changes)).images.clone()


class Adapter:
    """One IP-Adapter, base variant, for a model: as diffusers reads it, and as an OmniID engine with an image
    encoder."""

    def __init__(self, folder, model, seed=11):
        random = torch.Generator().manual_seed(seed)
        embed = 12
        self.image_encoder = randomise(
            CLIPVisionModelWithProjection(
                CLIPVisionConfig(
                    hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, image_size=56,
                    patch_size=14, projection_dim=embed, hidden_act="gelu",
                )
            ),
            seed,
        )  # fmt: skip
        self.feature_extractor = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size=56)

        def draw(*shape, scale):
            return torch.randn(*shape, generator=random) * scale

        self.projection = {
            "proj.weight": draw(TOKENS * CONTEXT, embed, scale=0.3),
            "proj.bias": draw(TOKENS * CONTEXT, scale=0.3),
            "norm.weight": 1 + draw(CONTEXT, scale=0.1),
            "norm.bias": draw(CONTEXT, scale=0.1),
        }
        unet = isinstance(model, UNet2DConditionModel)
        self.layers, ours = {}, {}
        table = host_layers(model)
        keys = [i for i, name in enumerate(model.attn_processors) if name.endswith("attn2.processor")]
        xlabs = "double_blocks.{}.processor.ip_adapter_double_stream_{}_proj.{}"
        for place, layer in enumerate(table):
            for side in "kv":
                inner = layer.heads * layer.head_dim
                parts = {"weight": draw(inner, CONTEXT, scale=0.6 / math.sqrt(CONTEXT))}
                if not unet:
                    parts["bias"] = draw(inner, scale=0.1)
                for part, value in parts.items():
                    self.layers[f"{keys[place] if unet else place}.to_{side}_ip.{part}"] = value
                    # The C ABI numbers the layers of a host's own table from 0.
                    spelling = f"ip_adapter.{place}.to_{side}_ip.{part}" if unet else xlabs.format(place, side, part)
                    ours[spelling] = value
        prefix = "image_proj" if unet else "ip_adapter_proj_model"
        ours |= {f"{prefix}.{name}": value for name, value in self.projection.items()}
        self.path = folder / f"adapter-{type(model).__name__}-{len(table)}-{seed}.safetensors"
        write_safetensors(self.path, {name: value.numpy() for name, value in ours.items()})
        self.image_encoder.save_pretrained(folder / f"image-encoder-{seed}")
        self.encoder_path = folder / f"image-encoder-{seed}" / "model.safetensors"
        self._table = table

    def engine(self, **options):
        return Engine.open(self.path, image_encoder=self.encoder_path, host_layers=self._table, **options)

    def state(self):
        return {"image_proj": dict(self.projection), "ip_adapter": dict(self.layers)}

    @contextlib.contextmanager
    def in_diffusers(self, pipe, scale):
        """diffusers' own IP-Adapter in a pipeline."""
        model = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
        before = dict(model.attn_processors)
        pipe.register_modules(image_encoder=self.image_encoder, feature_extractor=self.feature_extractor)
        model._load_ip_adapter_weights([self.state()], low_cpu_mem_usage=False)
        pipe.set_ip_adapter_scale(scale)
        try:
            yield
        finally:
            pipe.unload_ip_adapter()
            model.set_attn_processor(before)


def largest(a, b):
    return float((a.double() - b.double()).abs().max())


def image(array):
    from PIL import Image

    return Image.fromarray(np.asarray(array))
