"""SD3 as a host of training: attention written out, a step by hand, and the trained checkpoint by omniid.diffusers."""

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

import diffusers_models as models  # noqa: E402
import native_model  # noqa: E402
import omniid  # noqa: E402
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline  # noqa: E402
from omniid.diffusers import attach  # noqa: E402
from omniid.training.checkpoint import Crop, NativeCheckpoint  # noqa: E402
from omniid.training.config import HostConfig  # noqa: E402
from omniid.training.hosts import Injection, View  # noqa: E402
from omniid.training.hosts.latent import latent_host  # noqa: E402
from omniid.training.hosts.sampling import draw  # noqa: E402
from omniid.training.modules import Backbone, IdentityAdapter, IdentityModel, OmniIdConfig  # noqa: E402
from omniid.training.objectives.host import HostObjective  # noqa: E402
from test_training_host import identity, step  # noqa: E402

HEADS, HEAD_DIM = 2, 32


@pytest.fixture(scope="module", params=["rms_norm", None])
def host(request):
    """With the norm of queries and keys of SD3.5, and without it, as SD3."""
    torch.manual_seed(3)
    model = models.randomise(SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=HEAD_DIM,
        num_attention_heads=HEADS, joint_attention_dim=12, caption_projection_dim=HEADS * HEAD_DIM,
        pooled_projection_dim=8, out_channels=4, pos_embed_max_size=8, qk_norm=request.param,
    ), 3)  # fmt: skip
    pipe = StableDiffusion3Pipeline(
        transformer=model, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=models.vae(), text_encoder=None,
        tokenizer=None, text_encoder_2=None, tokenizer_2=None, text_encoder_3=None, tokenizer_3=None,
        image_encoder=None, feature_extractor=None,
    )  # fmt: skip
    return latent_host(pipe, HostConfig(model="x", precision="f32", size=8, identity_dropout=0.0), torch.device("cpu"))


def given(rows):
    torch.manual_seed(9)
    return torch.randn(rows, 4, 8, 8), {"context": torch.randn(rows, 6, 12), "pooled": torch.randn(rows, 8)}


def test_a_layer_by_its_formula(host):
    """What reaches the output projection of the last block's attention, with and without the identity."""
    latents, prompt = given(2)
    view, times = View(torch.zeros(2, 13), [None] * 2), torch.tensor([300.0, 700.0])
    torch.manual_seed(1)
    pairs = [(torch.randn(2, HEADS, 5, HEAD_DIM), torch.randn(2, HEADS, 5, HEAD_DIM)) for _ in range(2)]
    attn = host.model.transformer_blocks[0].attn
    seen, queries = [], []
    injection = Injection(host.model)
    hooks = [attn.to_out[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone())),
             attn.to_q.register_forward_hook(lambda _, __, out: queries.append(out.clone()))]  # fmt: skip
    with torch.no_grad():
        for given_pairs in (None, pairs):
            injection.set(given_pairs)
            host.predict(latents, times, prompt, view)
    injection.remove()
    for hook in hooks:
        hook.remove()
    heads = queries[0].unflatten(-1, (HEADS, HEAD_DIM))
    if attn.norm_q is not None:
        mean = heads.square().mean(dim=-1, keepdim=True)
        heads = heads * torch.rsqrt(mean + attn.norm_q.eps) * attn.norm_q.weight
    keys, values = pairs[0]
    scores = torch.einsum("rqhd,rhkd->rhqk", heads, keys) / HEAD_DIM**0.5
    added = torch.einsum("rhqk,rhkd->rqhd", scores.softmax(dim=-1), values).flatten(2)
    assert added.abs().max() > 0.1
    assert (seen[1] - seen[0] - added).abs().max() <= 1e-5


def test_a_step_is_that_of_a_loop_written_out(host):
    torch.manual_seed(5)
    adapter = IdentityAdapter(host.table.layers, 20)
    trained = HostObjective(host.config, identity(), adapter, host, lambda tensor: tensor)
    pictures = step()
    latents, prompt = given(4)
    loss = trained(pictures, latents, prompt)["loss"]
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in trained.named_parameters() if p.grad is not None}
    trained.release()
    for parameter in trained.parameters():
        parameter.grad = None
    tokens = trained.identity(trained.identity.backbone.pixels.prepare(pictures.photos))
    samples, times, targets = [], [], []
    for row, seed in enumerate([50, 51, 51, 52]):
        generator = torch.Generator().manual_seed(seed)
        t = torch.sigmoid(torch.randn((), generator=generator))
        epsilon = torch.randn(4, 8, 8, generator=generator)
        samples.append((1 - t) * latents[row] + t * epsilon)
        targets.append(epsilon - latents[row])
        times.append(1000 * t)
    trained.injection.set([(k[[0, 0, 1, 1]], v[[0, 0, 1, 1]]) for k, v in adapter(tokens)])
    prediction = host.model(
        hidden_states=torch.stack(samples), timestep=torch.stack(times), encoder_hidden_states=prompt["context"],
        pooled_projections=prompt["pooled"], return_dict=False,
    )[0]  # fmt: skip
    by_hand = ((prediction - torch.stack(targets)) ** 2).mean()
    by_hand.backward()
    trained.injection.remove()
    assert abs(float(loss.detach()) - float(by_hand.detach())) <= 1e-5 * float(by_hand.detach())
    for name, gradient in gradients.items():
        assert torch.allclose(trained.get_parameter(name).grad, gradient, rtol=1e-3, atol=1e-6), name


@pytest.mark.parametrize("mode", ["inject", "keys"])
def test_a_checkpoint_in_omniid_diffusers(host, mode, tmp_path):
    """The library's attention in the pipeline's model, and what training puts in."""
    torch.manual_seed(6)
    backbone = Backbone({"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
                         "image_size": 28, "patch_size": 14, "hidden_act": "gelu", "layer_norm_eps": 1e-5})  # fmt: skip
    config = OmniIdConfig(queries=6, width=32, depth=1, heads=4, head_width=8, feature_width=32, feature_tokens=5,
                          token_width=20)  # fmt: skip
    adapter = IdentityAdapter(host.table.layers, 20)
    checkpoint = NativeCheckpoint("sd3", IdentityModel(backbone, config), Crop("none"), adapter, host.table)
    checkpoint.save(tmp_path / "model.safetensors")
    latents, prompt = given(2)
    view, times = View(torch.zeros(2, 13), [None] * 2), torch.tensor([400.0, 400.0])
    with omniid.Engine.open(tmp_path / "model.safetensors") as engine, torch.no_grad():
        found = engine.encode([native_model.picture(1, 28, 28)]).identity
        conditioning = engine.condition(found)
        plain = host.predict(latents, times, prompt, view)
        with attach(host.model, conditioning, guidance=False, mode=mode):
            ours = host.predict(latents, times, prompt, view)
        injection = Injection(host.model)
        tokens = torch.from_numpy(found.tokens().numpy())[None]
        injection.set([(k.expand(2, -1, -1, -1), v.expand(2, -1, -1, -1)) for k, v in adapter(tokens)])
        expected = host.predict(latents, times, prompt, view)
        injection.remove()
        assert torch.equal(host.predict(latents, times, prompt, view), plain)
    assert (expected - plain).abs().max() > 1e-3
    assert (ours - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
    with pytest.raises(omniid.MismatchError, match="the conditioning is for 2 heads of 32"):
        attach(models.flux_pipeline().transformer, conditioning, guidance=False)


@pytest.mark.parametrize("settings", [
    {"shift": 3.0},
    {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256,
     "max_image_seq_len": 4096, "shift": 3.0},
], ids=["SD3", "FLUX"])  # fmt: skip
def test_pictures_are_drawn_at_the_times_of_the_hosts_scheduler(host, settings, monkeypatch):
    """By diffusers' own scheduler, stepped as its pipelines do, and the shift by its formulas."""
    scheduler = FlowMatchEulerDiscreteScheduler(**settings)
    monkeypatch.setattr(host, "scheduler", scheduler)
    _, prompt = given(2)
    view = View(torch.zeros(2, 13), [None] * 2)
    shown = []
    found = draw(host, (4, 8, 8), prompt, view, [5, 6], shown.append, steps=3)
    even = [1.0, 2 / 3, 1 / 3]
    if "use_dynamic_shifting" in settings:
        mu = 0.5 + (16 - 256) * (1.15 - 0.5) / (4096 - 256)  # a latent of 8 x 8 has 16 tokens
        expected = [math.exp(mu) / (math.exp(mu) + (1 / t - 1)) for t in even]
        scheduler.set_timesteps(sigmas=even, mu=mu)
    else:
        expected = [3 * t / (1 + 2 * t) for t in even]
        scheduler.set_timesteps(sigmas=even)
    assert host.times(3, (4, 8, 8)) == pytest.approx([*expected, 0.0], rel=1e-5)
    sample = torch.stack([torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (5, 6)])
    with torch.no_grad():
        for time in scheduler.timesteps:
            prediction = host.predict(sample, time.expand(2), prompt, view)
            sample = scheduler.step(prediction, time, sample, return_dict=False)[0]
    assert torch.allclose(found, sample, atol=1e-4) and shown == [True] * 3
