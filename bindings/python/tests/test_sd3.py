"""omniid.diffusers with InstantX' IP-Adapter for SD3.5, against diffusers' own loader and processor for it."""

import contextlib
import math

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import diffusers_models as models  # noqa: E402
import native_model  # noqa: E402
import omniid  # noqa: E402
import torch  # noqa: E402
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline  # noqa: E402
from diffusers_models import largest  # noqa: E402
from omniid.diffusers import attach, attachments, host_layers  # noqa: E402
from transformers import SiglipVisionConfig, SiglipVisionModel  # noqa: E402

LIMIT = 1e-5
SCALE, STEPS = 0.7, 3
HEADS, HEAD_DIM, BLOCKS = 2, 32, 2
INNER = HEADS * HEAD_DIM
TOKENS, RESAMPLER, FEATURES, TIME = 5, 32, 20, 16


def random(*shape, scale=None):
    return torch.randn(*shape) * (scale or 1 / math.sqrt(shape[-1]))


def norm(width):
    return {"weight": 1 + random(width, scale=0.1), "bias": random(width, scale=0.1)}


def adapter():
    """The Resampler and the layers, by the names of the published file."""
    width = RESAMPLER
    projection = {"latents": random(1, TOKENS, width, scale=0.5)}

    def affine(name, outputs, inputs, scale=None):
        projection[f"{name}.weight"] = random(outputs, inputs, scale=scale)
        projection[f"{name}.bias"] = random(outputs, scale=0.1)

    affine("time_embedding.linear_1", width, TIME)
    affine("time_embedding.linear_2", width, width)
    affine("proj_in", width, FEATURES)
    affine("proj_out", INNER, width)
    projection |= {f"norm_out.{part}": value for part, value in norm(INNER).items()}
    for layer in (f"layers.{depth}" for depth in range(4)):
        for name in ("0.norm1", "0.norm2", "1.0"):
            projection |= {f"{layer}.{name}.{part}": value for part, value in norm(width).items()}
        for name, shape in (("to_q", (64, width)), ("to_kv", (128, width)), ("to_out", (width, 64))):
            projection[f"{layer}.0.{name}.weight"] = random(*shape)
        projection[f"{layer}.1.1.weight"] = random(4 * width, width)
        projection[f"{layer}.1.3.weight"] = random(width, 4 * width)
        affine(f"{layer}.2.1", 4 * width, width, 0.5 / math.sqrt(width))
    layers = {}
    for block in range(BLOCKS):
        layers[f"{block}.norm_ip.linear.weight"] = random(2 * INNER, width, scale=0.5 / math.sqrt(width))
        layers[f"{block}.norm_ip.linear.bias"] = random(2 * INNER, scale=0.1)
        for side in "kv":
            layers[f"{block}.to_{side}_ip.weight"] = random(INNER, INNER)
        for name in ("norm_q", "norm_k", "norm_ip_k"):
            layers[f"{block}.{name}.weight"] = 1 + random(HEAD_DIM, scale=0.2)
    return {"image_proj": projection, "ip_adapter": layers}


class Case:
    """A pipeline, InstantX' adapter for it, and a picture of the image encoder's size."""

    def __init__(self, folder):
        torch.manual_seed(3)
        self.model = models.randomise(SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, num_layers=BLOCKS, attention_head_dim=HEAD_DIM,
            num_attention_heads=HEADS, joint_attention_dim=12, caption_projection_dim=INNER, pooled_projection_dim=8,
            out_channels=4, pos_embed_max_size=8, qk_norm="rms_norm",
        ), 3)  # fmt: skip
        self.image_encoder = models.randomise(SiglipVisionModel(SiglipVisionConfig(
            hidden_size=FEATURES, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2, image_size=28,
            patch_size=14,
        )), 4)  # fmt: skip
        self.pipe = StableDiffusion3Pipeline(
            transformer=self.model, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=models.vae(),
            text_encoder=None, tokenizer=None, text_encoder_2=None, tokenizer_2=None, text_encoder_3=None,
            tokenizer_3=None, image_encoder=None, feature_extractor=None,
        )  # fmt: skip
        self.pipe.set_progress_bar_config(disable=True)
        self.state = adapter()
        path = folder / "ip-adapter.safetensors"
        flat = {f"{part}.{name}": value for part, entries in self.state.items() for name, value in entries.items()}
        native_model.write_safetensors(path, {name: value.numpy() for name, value in flat.items()})
        self.image_encoder.save_pretrained(folder / "siglip")
        self.table = host_layers(self.pipe)
        self.engine = omniid.Engine.open(path, image_encoder=folder / "siglip", host_layers=self.table)
        picture = native_model.picture(3, 28, 28)
        self.identity = self.engine.encode([picture], crop="none").identity
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1
        with torch.no_grad():
            self.features = self.image_encoder(pixels, output_hidden_states=True).hidden_states[-2]
        self.pipe.scheduler.set_timesteps(STEPS)
        self.timesteps = self.pipe.scheduler.timesteps.tolist()
        self.conditioning = self.engine.condition(self.identity, timesteps=self.timesteps)
        self.bare = {guidance: self.run(guidance) for guidance in (True, False)}

    def run(self, guidance, **more):
        generator = torch.Generator().manual_seed(5)
        prompt = {"prompt_embeds": (1, 6, 12), "pooled_prompt_embeds": (1, 8)}
        if guidance:
            prompt |= {"negative_prompt_embeds": (1, 6, 12), "negative_pooled_prompt_embeds": (1, 8)}
        common = {name: torch.randn(*shape, generator=generator) for name, shape in prompt.items()}
        common |= dict(
            num_inference_steps=STEPS, guidance_scale=3.0 if guidance else 1.0, height=8, width=12,
            output_type="latent", generator=torch.Generator().manual_seed(9),
        )  # fmt: skip
        with torch.no_grad():
            return self.pipe(**(common | more)).images.clone()

    @contextlib.contextmanager
    def in_diffusers(self):
        before = dict(self.model.attn_processors)
        self.model._load_ip_adapter_weights(self.state, low_cpu_mem_usage=False)
        self.pipe.set_ip_adapter_scale(SCALE)
        try:
            yield
        finally:
            self.model.image_proj = None
            self.model.set_attn_processor(before)

    def theirs(self, guidance, **more):
        both = torch.cat([torch.zeros_like(self.features), self.features]) if guidance else self.features
        with self.in_diffusers():
            return self.run(guidance, ip_adapter_image_embeds=both, **more)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("sd3"))


def close(ours, expected, limit=LIMIT):
    assert largest(ours, expected) <= limit * max(1.0, float(expected.abs().max()))


def hooks(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


def test_the_table_is_that_of_the_model(case):
    assert [(layer.name, layer.heads, layer.head_dim, layer.context) for layer in case.table] == [
        (f"transformer_blocks.{i}.attn", HEADS, HEAD_DIM, INNER) for i in range(BLOCKS)
    ]
    assert len(case.conditioning.timesteps) == STEPS and case.conditioning.needs_image_keys
    with pytest.raises(omniid.errors.InvalidArgumentError, match="instantx"):
        host_layers(case.pipe, "pulid")


@pytest.mark.parametrize("guidance", [True, False])
def test_a_pipeline_equals_diffusers(case, guidance):
    with attach(case.pipe, case.conditioning, scale=SCALE):
        ours = case.run(guidance)
    expected = case.theirs(guidance)
    assert largest(expected, case.bare[guidance]) > 0.05, "the identity changes nothing"
    close(ours, expected)


def test_one_pass_of_the_model_at_one_timestep(case):
    conditioning = case.engine.condition(case.identity, timesteps=[737.5])
    generator = torch.Generator().manual_seed(1)
    inputs = {
        name: torch.randn(2, *shape, generator=generator)
        for name, shape in (("hidden_states", (4, 8, 12)), ("encoder_hidden_states", (6, 12)),
                            ("pooled_projections", (8,)))
    } | {"timestep": torch.full((2,), 737.5)}  # fmt: skip
    with torch.no_grad():
        with attach(case.model, conditioning, scale=SCALE, guidance=["conditional", "unconditional"]):
            ours = case.model(**inputs).sample
        with case.in_diffusers():
            both = torch.cat([case.features, torch.zeros_like(case.features)])
            theirs = case.model(**inputs, joint_attention_kwargs={"ip_adapter_image_embeds": both}).sample
        with (
            attach(case.model, conditioning, guidance=False),
            pytest.raises(omniid.errors.OmniIdError, match="timestep"),
        ):
            case.model(**(inputs | {"timestep": torch.full((2,), 500.0)}))
    close(ours, theirs)


def test_layers_left_out_are_conditional(case):
    more = dict(skip_guidance_layers=[1], skip_layer_guidance_start=0.0, skip_layer_guidance_stop=1.0)
    with attach(case.pipe, case.conditioning, scale=SCALE) as attachment:
        begin, seen = attachment.begin, []

        def watched(now):
            begin(now)
            seen.append((now.batch, len(attachment._chunks)))

        attachment.begin = watched
        changed = case.run(True, **more)
    assert torch.isfinite(changed).all()
    # The first step is before the start.
    assert set(seen) == {(2, 2), (1, 1)}


def test_fused_projections(case):
    """diffusers' processor for fused projections leaves out the norms of this model, so only what is added to the first
    layer is compared."""
    before = dict(case.model.attn_processors)

    def added():
        found = []
        torch.manual_seed(8)
        inputs = torch.randn(2, 4, 8, 12), torch.randn(2, 6, 12), torch.randn(2, 8), torch.full((2,), 1000.0)
        for scale in (0.0, SCALE):
            with torch.no_grad(), attach(case.model, case.conditioning, scale=scale, guidance=True):
                layer = case.model.transformer_blocks[0].attn.to_out[1]
                hook = layer.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].clone()))
                case.model(*inputs)
                hook.remove()
        return found[1] - found[0]

    expected = added()
    case.model.fuse_qkv_projections()
    try:
        ours = added()
    finally:
        case.model.unfuse_qkv_projections()
        case.model.set_attn_processor(before)
        for block in case.model.transformer_blocks:
            block.attn.fused_projections = False
    assert largest(expected, 0 * expected) > 0.1
    close(ours, expected)


@pytest.mark.parametrize("guidance", [True, False])
def test_scale_0_changes_no_bit_and_detaching_leaves_no_trace(case, guidance):
    before = hooks(case.model), set(vars(case.model))
    attachment = attach(case.pipe, case.conditioning, scale=0)
    assert torch.equal(case.run(guidance), case.bare[guidance])
    attachment.scale = SCALE
    assert largest(case.run(guidance), case.bare[guidance]) > 0.05
    attachment.detach()
    assert torch.equal(case.run(guidance), case.bare[guidance])
    assert (hooks(case.model), set(vars(case.model))) == before and attachments(case.pipe) == ()


def test_two_people_add_up(case):
    people = [omniid.ConditioningInput(case.identity, scale=share) for share in (0.3, 0.7)]
    with attach(case.pipe, case.engine.condition(people, timesteps=case.timesteps), scale=SCALE):
        together = case.run(True)
    close(together, case.theirs(True))


def test_a_model_in_double_precision_is_copied(case):
    inputs = [torch.randn(2, *shape, dtype=torch.double) for shape in ((4, 8, 12), (6, 12), (8,))]
    inputs.append(torch.full((2,), case.timesteps[0]))
    case.model.double()
    try:
        with torch.no_grad(), attach(case.model, case.conditioning, scale=SCALE, guidance=True):
            ours = case.model(*inputs).sample
    finally:
        case.model.float()
    with torch.no_grad(), attach(case.model, case.conditioning, scale=SCALE, guidance=True):
        close(ours.float(), case.model(*(value.float() for value in inputs)).sample)


def test_a_mask_and_a_range_of_steps(case):
    mask = torch.zeros(4, 6)
    masked = omniid.ConditioningInput(case.identity, mask=mask)
    with attach(case.pipe, case.engine.condition(masked, timesteps=case.timesteps)):
        close(case.run(True), case.bare[True])
    late = omniid.ConditioningInput(case.identity, fraction=(0.4, 1.0))
    seen = []
    with attach(case.pipe, case.engine.condition(late, timesteps=case.timesteps)):
        changed = case.run(True, callback_on_step_end=lambda pipe, step, timestep, tensors: seen.append(
            tensors["latents"].clone()) or tensors)  # fmt: skip
    bare = []
    case.run(True, callback_on_step_end=lambda pipe, step, timestep, tensors: bare.append(
        tensors["latents"].clone()) or tensors)  # fmt: skip
    assert torch.equal(seen[0], bare[0]) and largest(changed, case.bare[True]) > 0.01


def test_what_cannot_be(case):
    with pytest.raises(omniid.errors.UnsupportedError, match="mode 'keys'"):
        attach(case.pipe, case.conditioning, mode="keys")
    with pytest.raises(omniid.errors.InvalidArgumentError, match="guidance"):
        attach(case.model, case.conditioning)
    with pytest.raises(omniid.errors.MismatchError, match="SD3"):
        attach(models.flux_pipeline(), case.conditioning)
    with attach(case.pipe, case.conditioning), pytest.raises(omniid.errors.UnsupportedError, match="gradients"):
        case.model(
            torch.randn(2, 4, 8, 12), torch.randn(2, 6, 12), torch.randn(2, 8), torch.full((2,), case.timesteps[0])
        )
