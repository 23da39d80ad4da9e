"""Stage 2: the identity in a frozen host, against attention written out, and the loop of a step against one by hand."""

import diffusers_models as models
import omniid
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from omniid.training.config import HostConfig  # noqa: E402
from omniid.training.data.people import Face  # noqa: E402
from omniid.training.data.sampler import Draw, Input  # noqa: E402
from omniid.training.data.steps import StepPictures  # noqa: E402
from omniid.training.hosts import Injection, host_table  # noqa: E402
from omniid.training.hosts.latent import face_weights, latent_host, open_pipeline  # noqa: E402
from omniid.training.modules import Backbone, IdentityAdapter, IdentityModel, OmniIdConfig  # noqa: E402
from omniid.training.objectives import noise  # noqa: E402
from omniid.training.objectives.host import HostObjective  # noqa: E402

KINDS = ["unet", "sdxl", "flux"]


def pipeline(kind):
    return {"unet": models.sd_pipeline, "sdxl": models.sdxl_pipeline, "flux": models.flux_pipeline}[kind]()


def identity():
    torch.manual_seed(4)
    backbone = Backbone({"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
                         "image_size": 28, "patch_size": 14, "hidden_act": "gelu", "layer_norm_eps": 1e-5})  # fmt: skip
    config = OmniIdConfig(queries=6, width=32, depth=1, heads=4, head_width=8, feature_width=32, feature_tokens=5,
                          token_width=20)  # fmt: skip
    return IdentityModel(backbone, config)


def step(people=2, targets=2, inputs=2):
    torch.manual_seed(8)
    draws = [Draw(n, tuple(Input(i, 1.0, 0.0) for i in range(inputs)), tuple(range(targets)), False, False, 50 + n)
             for n in range(people)]  # fmt: skip
    rows = people * targets
    return StepPictures(0, torch.rand(people, inputs, 3, 28, 28), None, torch.zeros(rows, 13), [None] * rows,
                        [None] * rows, draws)  # fmt: skip


def objective(kind, **changes):
    config = HostConfig(model="x", precision="f32", size=64, identity_dropout=0.0, guidance=3.5, **changes)
    host = latent_host(pipeline(kind), config, torch.device("cpu"))
    torch.manual_seed(5)
    adapter = IdentityAdapter(host.table.layers, 20)
    return HostObjective(config, identity(), adapter, host, lambda tensor: tensor)


def given(kind, rows=4):
    torch.manual_seed(9)
    latents = torch.randn(rows, 4, 8, 8)
    prompt = {"context": torch.randn(rows, 7, models.CONTEXT)}
    if kind != "unet":
        prompt["pooled"] = torch.randn(rows, 16 if kind == "sdxl" else 8)
    return latents, prompt


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_added_is_decoupled_attention(kind):
    """diffusers' own IP-Adapter on the same keys and values, with a scale of 1."""
    model = pipeline(kind).unet if kind != "flux" else pipeline(kind).transformer
    table = host_table(model)
    torch.manual_seed(2)
    tokens = torch.randn(4, 5, models.CONTEXT)
    layers = IdentityAdapter(table.layers, models.CONTEXT, projection=False)
    latents, prompt = given(kind)
    host = latent_host(pipeline(kind), HostConfig(model="x", precision="f32", size=64), torch.device("cpu"))
    from omniid.training.hosts import View

    view = View(torch.zeros(4, 13), [None] * 4)
    time = torch.tensor([0.2, 0.4, 0.6, 0.8]) * (1.0 if kind == "flux" else 999)
    with torch.no_grad():
        plain = host.predict(latents, time, prompt, view)
        injection = Injection(host.model)
        assert torch.equal(host.predict(latents, time, prompt, view), plain)
        injection.set(layers(tokens))
        found = host.predict(latents, time, prompt, view)
        injection.set(None)
        assert torch.equal(host.predict(latents, time, prompt, view), plain)
        injection.remove()
        expected = with_ip_adapter(host, layers, tokens, lambda: host.predict(latents, time, prompt, view))
    assert (found - plain).abs().max() > 1e-3
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


def with_ip_adapter(host, layers, tokens, call):
    """The same with diffusers' processors of IP-Adapter, whose projections get these weights."""
    from diffusers.models.attention_processor import FluxIPAdapterJointAttnProcessor2_0, IPAdapterAttnProcessor2_0

    model, processors, place = host.model, {}, 0
    flux = hasattr(model, "single_transformer_blocks")
    for name, before in model.attn_processors.items():
        if name.endswith("attn2.processor") or (flux and not name.startswith("single")):
            own, layer = layers.layers[place], layers.host_layers[place]
            inner = layer.heads * layer.head_dim
            if flux:
                made = FluxIPAdapterJointAttnProcessor2_0(inner, layer.context, scale=[1.0])
            else:
                made = IPAdapterAttnProcessor2_0(inner, layer.context, scale=[1.0])
            made.to_k_ip[0].weight.copy_(own.to_k.weight)
            made.to_v_ip[0].weight.copy_(own.to_v.weight)
            for side in (made.to_k_ip[0], made.to_v_ip[0]):
                if side.bias is not None:
                    side.bias.zero_()
            processors[name], place = made, place + 1
        else:
            processors[name] = before
    model.set_attn_processor(processors)
    extra = {"ip_hidden_states": [tokens]} if flux else {"ip_adapter_masks": None}
    original = model.forward

    def forward(*arguments, **keywords):
        if flux:
            keywords["joint_attention_kwargs"] = extra
        else:
            keywords["encoder_hidden_states"] = (keywords["encoder_hidden_states"], [tokens])
        return original(*arguments, **keywords)

    model.forward = forward
    try:
        return call()
    finally:
        model.forward = original


def pairs_of(trained, pictures):
    """Keys and values of two people, each for two targets."""
    tokens = trained.identity(trained.identity.backbone.pixels.prepare(pictures.photos))
    return [(k[[0, 0, 1, 1]], v[[0, 0, 1, 1]]) for k, v in trained.adapter(tokens)]


def noised(kind, latents):
    """Samples, times and what is to be predicted, written out, with the seeds of `step`."""
    samples, times, targets = [], [], []
    for row, seed in enumerate([50, 51, 51, 52]):
        generator = torch.Generator().manual_seed(seed)
        if kind == "flux":
            t = torch.sigmoid(torch.randn((), generator=generator) + 0.3)
            epsilon = torch.randn(4, 8, 8, generator=generator)
            samples.append((1 - t) * latents[row] + t * epsilon)
            targets.append(epsilon - latents[row])
            times.append(t)
        else:
            time = int(torch.rand((), generator=generator) * 1000)
            epsilon = torch.randn(4, 8, 8, generator=generator)
            betas = torch.linspace(0.0001, 0.02, 1000)  # of the schedulers' defaults
            alpha = torch.cumprod(1 - betas, 0)[time]
            samples.append(alpha.sqrt() * latents[row] + (1 - alpha).sqrt() * epsilon)
            targets.append(epsilon)
            times.append(torch.tensor(time))
    return torch.stack(samples), torch.stack(times), torch.stack(targets)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_that_of_a_loop_written_out(kind):
    trained = objective(kind, time_mean=0.3, min_snr_gamma=0.0)
    other = {name: p.detach().clone() for name, p in trained.named_parameters() if p.requires_grad}
    pictures, (latents, prompt) = step(), given(kind)
    loss = trained(pictures, latents, prompt)["loss"]
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in trained.named_parameters() if p.grad is not None}
    trained.release()
    assert not any(p.requires_grad or p.grad is not None for p in trained.host.model.parameters())

    # By hand: tokens, keys and values, noise, one pass, squared error.
    for parameter in trained.parameters():
        parameter.grad = None
    assert all(torch.equal(p, trained.get_parameter(name)) for name, p in other.items())
    pairs = pairs_of(trained, pictures)
    samples, times, targets = noised(kind, latents)
    trained.injection.set(pairs)
    from omniid.training.hosts import View

    view = View(pictures.pose, pictures.faces)
    prediction = trained.host.predict(samples, times, prompt, view)
    by_hand = ((prediction - targets) ** 2).mean()
    by_hand.backward()
    assert abs(float(loss.detach()) - float(by_hand.detach())) <= 1e-5 * float(by_hand.detach())
    assert len(gradients) == len(other)
    for name in other:
        assert torch.allclose(trained.get_parameter(name).grad, gradients[name], rtol=1e-3, atol=1e-6), name


def test_a_controlnet_is_told_the_pose_of_each_target(tmp_path):
    """The residuals of a random ControlNet, by a loop written out: the face's points drawn as a picture, nothing where
    no face is known."""
    from diffusers import ControlNetModel

    torch.manual_seed(11)
    control = ControlNetModel.from_unet(models.sd_pipeline().unet, conditioning_embedding_out_channels=(4, 8, 8, 8))
    for name, parameter in control.named_parameters():
        if not parameter.any() or "cond_embedding" in name:
            torch.nn.init.normal_(parameter, std=0.3)  # its last layers begin with zeros
    control.requires_grad_(False).save_pretrained(tmp_path)
    trained = objective("unet", controlnet=str(tmp_path))
    pictures, (latents, prompt) = step(), given("unet")
    points = ((22.0, 25.0), (41.0, 24.0), (31.0, 35.0), (24.0, 44.0), (40.0, 43.0))
    pictures.faces = [Face((15.0, 10.0, 50.0, 55.0), tuple((x + shift, y) for x, y in points)) for shift in range(4)]
    pictures.faces[2] = None
    loss = trained(pictures, latents, prompt)["loss"]
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in trained.named_parameters() if p.grad is not None}
    trained.release()

    drawn = torch.zeros(4, 3, 64, 64)
    for row, face in zip(drawn, pictures.faces):
        if face is not None:
            row += torch.from_numpy(omniid.draw_keypoints(face.landmarks, (64, 64))).permute(2, 0, 1) / 255.0
    assert drawn[0].max() > 0.1 and not torch.equal(drawn[0], drawn[1])
    for parameter in trained.parameters():
        parameter.grad = None
    samples, times, targets = noised("unet", latents)

    def by_hand(pictures_of_poses):
        trained.injection.set(pairs_of(trained, pictures))
        down, middle = control(samples, times, prompt["context"], pictures_of_poses, return_dict=False)
        prediction = trained.host.model(
            samples, times, prompt["context"], down_block_additional_residuals=down,
            mid_block_additional_residual=middle, return_dict=False,
        )[0]  # fmt: skip
        return ((prediction - targets) ** 2).mean()

    expected = by_hand(drawn)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert abs(float(by_hand(drawn.roll(1, dims=0)).detach()) - float(loss.detach())) > 1e-3
    expected.backward()
    assert gradients
    for name, gradient in gradients.items():
        assert torch.allclose(trained.get_parameter(name).grad, gradient, rtol=1e-3, atol=1e-6), name


def test_gradient_checkpointing_changes_nothing():
    plain, saving = objective("unet"), objective("unet", gradient_checkpointing=True)
    saving.identity.gradient_checkpointing()
    saving.identity.train()
    saving.load_state_dict(plain.state_dict())
    for trained in (plain, saving):
        latents, prompt = given("unet")
        trained(step(), latents, prompt)["loss"].backward()
        trained.release()
    for (name, a), (_, b) in zip(plain.named_parameters(), saving.named_parameters()):
        assert not a.requires_grad or torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-7), name


def test_weights_of_min_snr():
    alphas = torch.tensor([0.9, 0.5, 0.1])
    clean = torch.zeros(3, 1, 1, 1)

    class All:
        def uniform(self):
            return torch.tensor([0.1, 0.4, 0.9])

        def normal(self, shape):
            return torch.ones(3, *shape)

    ratio = alphas / (1 - alphas)
    found = noise.Diffusion(alphas, "epsilon", 5.0).noise(clean, All()).weight
    assert torch.allclose(found, torch.minimum(ratio, torch.tensor(5.0)) / ratio)
    found = noise.Diffusion(alphas, "v", 5.0).noise(clean, All())
    assert torch.allclose(found.weight, torch.minimum(ratio, torch.tensor(5.0)) / (ratio + 1))
    assert torch.allclose(found.target.flatten(), alphas.sqrt())


def test_weights_of_places():
    face = Face((16.0, 16.0, 32.0, 48.0), ((0.0, 0.0),) * 5)
    weights = face_weights([face, None], 64, 8, 0.25)
    assert weights.shape == (2, 1, 8, 8)
    assert weights[0, 0, 3, 3] == 1 and weights[0, 0, 0, 0] == 0.25 and weights[0, 0, 3, 6] == 0.25
    assert (weights[1] == 1).all()


def test_a_host_whose_vae_changed_is_another_one_under_the_same_name(tmp_path):
    def opened():
        config = HostConfig(model=str(tmp_path), precision="bf16", size=64)
        return latent_host(open_pipeline(config), config, torch.device("cpu"))

    pipe = models.sd_pipeline()
    pipe.save_pretrained(tmp_path)
    first = opened()
    assert opened().digest() == first.digest()
    # The VAE is read in the type that it is used in; the host's is bf16.
    for name, tensor in pipe.vae.state_dict().items():
        assert torch.equal(first.vae.state_dict()[name], tensor), name
    assert first.model.dtype == torch.bfloat16
    with torch.no_grad():
        pipe.unet.conv_in.weight.mul_(1.01)
    pipe.save_pretrained(tmp_path)
    assert opened().digest() == first.digest()
    with torch.no_grad():
        pipe.vae.encoder.conv_in.weight.mul_(1.01)
    pipe.save_pretrained(tmp_path)
    assert opened().digest() != first.digest()
