"""omniid.diffusers against diffusers' own IP-Adapter with the same weights, on small random models."""

import copy
import gc
import threading
import weakref

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import diffusers_models as models  # noqa: E402
import omniid  # noqa: E402
import torch  # noqa: E402
from diffusers_models import image, largest, run  # noqa: E402
from native_model import picture  # noqa: E402
from omniid.diffusers import attach, attachments, detach, host_layers  # noqa: E402

LIMIT = 1e-5
PIPELINES = {"sd": models.sd_pipeline, "sdxl": models.sdxl_pipeline, "flux": models.flux_pipeline}


class Case:
    """A pipeline, its adapter, two people, and the conditionings of both."""

    def __init__(self, name, folder):
        self.name, self.pipe = name, PIPELINES[name]()
        self.model = self.pipe.transformer if name == "flux" else self.pipe.unet
        self.adapter = models.Adapter(folder, self.model)
        self.engine = self.adapter.engine()
        self.pictures = [picture(3), picture(4)]
        self.identities = [self.engine.encode([p], crop="none").identity for p in self.pictures]
        # What the reference does with rows that do not follow the prompt; a host's own table has no family to tell.
        self.unconditional = "black_image" if name == "flux" else "default"
        self.conditioning = self.condition(0)
        self.bare = {guidance: run(self.pipe, guidance) for guidance in (True, False)}

    def condition(self, person, **keywords):
        item = omniid.ConditioningInput(self.identities[person], unconditional=self.unconditional, **keywords)
        return self.engine.condition(item)

    def theirs(self, guidance, scale=0.7, **changes):
        extra = {"ip_adapter_image": image(self.pictures[0])}
        if guidance and self.name == "flux":
            extra["negative_ip_adapter_image"] = image(self.pictures[0] * 0)
        with self.adapter.in_diffusers(self.pipe, scale):
            return run(self.pipe, guidance, **(extra | changes))

    def close(self, ours, theirs, limit=LIMIT):
        """Compares latents, relative to their size: they are not normalised."""
        assert largest(ours, theirs) <= limit * max(1.0, float(theirs.abs().max()))


@pytest.fixture(scope="module", params=list(PIPELINES))
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def sd(tmp_path_factory):
    return Case("sd", tmp_path_factory.mktemp("sd-only"))


@pytest.fixture(autouse=True)
def nothing_stays(request):
    yield
    for name in ("case", "sd"):
        if name in request.fixturenames:
            assert attachments(request.getfixturevalue(name).pipe) == ()


@pytest.mark.parametrize("guidance", [True, False])
@pytest.mark.parametrize("mode", ["inject", "keys"])
def test_equals_the_ip_adapter_of_diffusers_over_several_steps(case, guidance, mode):
    theirs = case.theirs(guidance)
    with attach(case.pipe, case.conditioning, scale=0.7, mode=mode):
        ours = run(case.pipe, guidance)
    assert largest(ours, case.bare[guidance]) > 0.1, "the identity changes nothing"
    case.close(ours, theirs)


def forward(case, dtype=torch.float32, rows=2):
    """One pass of the model, batch of guidance included."""
    generator = torch.Generator().manual_seed(6)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(dtype)

    text = draw(rows, 7, models.CONTEXT)
    if case.name == "flux":
        ids = torch.zeros(48, 3)
        ids[:, 1], ids[:, 2] = torch.arange(48) // 8, torch.arange(48) % 8
        return dict(hidden_states=draw(rows, 48, 16), encoder_hidden_states=text, pooled_projections=draw(rows, 8),
                    timestep=torch.full((rows,), 0.5), img_ids=ids, txt_ids=torch.zeros(7, 3))  # fmt: skip
    extra = {}
    if case.name == "sdxl":
        extra["added_cond_kwargs"] = {"text_embeds": draw(rows, 16), "time_ids": draw(rows, 6).abs()}
    return dict(sample=draw(rows, 4, 8, 8), timestep=torch.tensor(500), encoder_hidden_states=text, **extra)


class Ready(torch.nn.Module):
    """In the place of diffusers' projection: tokens that are projected already."""

    def __init__(self, tokens):
        super().__init__()
        self.tokens = tokens

    def forward(self, _):
        return [self.tokens]


def test_one_pass_equals_diffusers_to_1e_5(case):
    """The same tokens handed to diffusers as ready embeddings, without any pipeline."""
    tokens = torch.from_numpy(np.array(case.identities[0].tokens().numpy()))
    inputs = forward(case, rows=1)
    with torch.no_grad():
        with attach(case.model, case.conditioning, scale=0.9, guidance=False):
            ours = case.model(**inputs).sample
        with case.adapter.in_diffusers(case.pipe, 0.9):
            if case.name == "flux":
                inputs["joint_attention_kwargs"] = {"ip_hidden_states": [tokens[None]]}
            else:
                case.model.encoder_hid_proj = Ready(tokens[None, None])
                inputs["added_cond_kwargs"] = {**inputs.get("added_cond_kwargs", {}), "image_embeds": []}
            theirs = case.model(**inputs).sample
    assert float(theirs.abs().max()) < 10
    assert largest(ours, theirs) <= LIMIT


@pytest.mark.parametrize("dtype, limit", [(torch.float16, 6e-3), (torch.bfloat16, 6e-2)])
def test_half_types_stay_near_f32(case, dtype, limit):
    inputs = forward(case)
    half = {key: value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value
            for key, value in inputs.items()}  # fmt: skip
    if "added_cond_kwargs" in half:
        half["added_cond_kwargs"] = {key: value.to(dtype) for key, value in half["added_cond_kwargs"].items()}
    model = copy.deepcopy(case.model).to(dtype)
    found = {}
    with torch.no_grad():
        for mode in ("inject", "keys"):
            with attach(model, case.conditioning, guidance=case.name != "flux", mode=mode, scale=8):
                found[mode] = model(**half).sample
            assert found[mode].dtype == dtype
        with attach(case.model, case.conditioning, guidance=case.name != "flux", scale=8):
            reference = case.model(**inputs).sample
        bare = case.model(**inputs).sample
    size = max(1.0, float(reference.abs().max()))
    assert largest(reference, bare) > 3 * limit * size, "the effect is too small to see"
    for output in found.values():
        assert largest(output, reference) <= limit * size


@pytest.mark.parametrize("mode", ["inject", "keys"])
def test_scale_0_leaves_the_model_untouched(case, mode):
    with attach(case.pipe, case.conditioning, scale=0.0, mode=mode):
        assert torch.equal(run(case.pipe), case.bare[True])
    with attach(case.pipe, case.engine.condition(omniid.ConditioningInput(case.identities[0], scale=0.0)), mode=mode):
        assert torch.equal(run(case.pipe), case.bare[True])


def traces(model):
    """Everything that hooks, processors and attributes could leave in a model."""
    state = {}
    for name, module in model.named_modules():
        attributes = vars(module)
        state[name] = (
            {key: value for key, value in attributes.items() if not key.startswith("_") and key != "processor"},
            {key: dict(value) for key, value in attributes.items() if "hooks" in key},
            list(module._modules),
            id(attributes.get("processor", module._modules.get("processor"))),
        )
    return state


def test_detaching_leaves_no_trace(case):
    before, keys = traces(case.model), list(case.model.state_dict())
    with attach(case.pipe, case.conditioning):
        assert traces(case.model) != before
        run(case.pipe)
    after = traces(case.model)
    for name, found in before.items():
        assert after[name][1:] == found[1:], name
        assert after[name][0].keys() == found[0].keys(), name
    assert list(case.model.state_dict()) == keys
    assert torch.equal(run(case.pipe), case.bare[True])


def test_an_exception_in_the_middle_leaves_no_trace(sd):
    before = traces(sd.model)
    attachment = attach(sd.pipe, sd.conditioning)
    broken = sd.model.up_blocks[1].attentions[0].transformer_blocks[0].attn2.to_v.register_forward_hook(fail)
    with pytest.raises(KeyError, match="in the middle"):
        run(sd.pipe)
    broken.remove()
    attachment.detach()
    attachment.detach()
    after = traces(sd.model)
    assert all(after[name][1:] == found[1:] for name, found in before.items())
    assert torch.equal(run(sd.pipe), sd.bare[True])


def fail(*_):
    raise KeyError("in the middle")


def test_several_people_add_up_and_masks_place_them(sd):
    left = np.zeros((64, 64), dtype=np.float32)
    left[:, :32] = 1.0
    masks = [left, 1 - left]
    people = [omniid.ConditioningInput(person, scale=scale, mask=mask)
              for person, scale, mask in zip(sd.identities, (0.7, 0.5), masks)]  # fmt: skip
    conditioning = sd.engine.condition(people, mask_mode="diffusers")
    with sd.adapter.in_diffusers(sd.pipe, [[0.7, 0.5]]):
        theirs = run(
            sd.pipe,
            ip_adapter_image=[[image(p) for p in sd.pictures]],
            cross_attention_kwargs={"ip_adapter_masks": [torch.from_numpy(np.stack(masks))[None]]},
        )
    for mode in ("inject", "keys"):
        with attach(sd.pipe, conditioning, mode=mode):
            sd.close(run(sd.pipe), theirs)
    with attach(sd.pipe, sd.engine.condition(people[0], mask_mode="diffusers")) as first:
        alone = run(sd.pipe)
        with attach(sd.pipe, sd.engine.condition(people[1], mask_mode="diffusers")):
            sd.close(run(sd.pipe), theirs)
        assert first.attached and largest(alone, theirs) > 0.01


def test_masks_in_flux_follow_the_packed_picture(tmp_path):
    flux = Case("flux", tmp_path)
    mask = np.zeros((6, 8), dtype=np.float32)
    mask[:, 3:] = 1.0
    conditioning = flux.engine.condition(omniid.ConditioningInput(flux.identities[0], mask=mask))
    inputs = forward(flux, rows=1)
    seen = {}
    for name, which in (("whole", flux.conditioning), ("part", conditioning), ("bare", None)):
        hook = flux.model.transformer_blocks[0].attn.register_forward_hook(
            lambda _, __, result: seen.update({name: result[2] if len(result) == 3 else None})
        )
        if which is not None:
            with attach(flux.model, which), torch.no_grad():
                # Hooks run in order of registration: read after the identity was added.
                hook.remove()
                hook = flux.model.transformer_blocks[0].attn.register_forward_hook(
                    lambda _, __, result: seen.update({name: result[2].clone()})
                )
                flux.model(**inputs)
        hook.remove()
    expected = seen["whole"] * torch.from_numpy(mask).reshape(1, 48, 1)
    assert largest(seen["part"], expected) <= 1e-6 and float(seen["whole"].abs().max()) > 0.1


def test_a_step_range_limits_the_identity(case):
    half = case.condition(0, fraction=(0.0, 0.5))
    early = run_with_scales(case, [0.7, 0.7, 0.0])
    with attach(case.pipe, half, scale=0.7):
        assert torch.equal(run(case.pipe), early)
    sigmas = noise_levels(case.pipe)
    between = (sigmas[1] + sigmas[2]) / 2
    by_noise = case.condition(0, sigma=(1e9, between))
    with attach(case.pipe, by_noise, scale=0.7, mode="keys"):
        case.close(run(case.pipe), early)


def noise_levels(pipe):
    """Of the three steps of the last run."""
    if hasattr(pipe.scheduler, "sigmas"):
        return [float(sigma) for sigma in pipe.scheduler.sigmas[:3]]
    products = pipe.scheduler.alphas_cumprod[pipe.scheduler.timesteps]
    return ((1 - products) / products).sqrt().tolist()


def run_with_scales(case, scales):
    """A run whose attachment gets another scale after each step, as a user would do it."""
    with attach(case.pipe, case.conditioning, scale=scales[0]) as attachment:

        def next_scale(pipe, step, timestep, values):
            attachment.scale = scales[min(step + 1, len(scales) - 1)]
            return values

        return run(case.pipe, callback_on_step_end=next_scale)


def test_an_ip_adapter_that_is_there_already_stays_and_keeps_its_switches(sd):
    other = sd.adapter
    picture_of = {"ip_adapter_image": image(sd.pictures[1])}
    with other.in_diffusers(sd.pipe, 0.4):
        alone = run(sd.pipe, **picture_of)
        processors = dict(sd.model.attn_processors)
        with attach(sd.pipe, sd.conditioning, scale=0.7):
            both = run(sd.pipe, **picture_of)
            sd.pipe.set_ip_adapter_scale(0.0)
            only_ours = run(sd.pipe, **picture_of)
            assert sd.model.attn_processors == processors
        sd.pipe.set_ip_adapter_scale(0.4)
        assert torch.equal(run(sd.pipe, **picture_of), alone)
    # The same by diffusers alone: the adapter twice, with two pictures.
    sd.pipe.register_modules(image_encoder=other.image_encoder, feature_extractor=other.feature_extractor)
    before = dict(sd.model.attn_processors)
    sd.model._load_ip_adapter_weights([other.state(), other.state()], low_cpu_mem_usage=False)
    sd.pipe.set_ip_adapter_scale([0.4, 0.7])
    theirs = run(sd.pipe, ip_adapter_image=[image(sd.pictures[1]), image(sd.pictures[0])])
    sd.pipe.unload_ip_adapter()
    sd.model.set_attn_processor(before)
    sd.close(both, theirs)
    sd.close(only_ours, sd.theirs(True))
    # Loaded while attached.
    with attach(sd.pipe, sd.conditioning, scale=0.7):
        with other.in_diffusers(sd.pipe, 0.4):
            assert torch.equal(run(sd.pipe, **picture_of), both)


def test_lora_acts_on_the_query_and_the_projection(sd):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"], init_lora_weights=False)
    torch.manual_seed(3)
    attachment = attach(sd.pipe, sd.conditioning, scale=0.7)
    sd.model.add_adapter(config)
    try:
        ours = run(sd.pipe)
        attachment.detach()
        theirs = sd.theirs(True)
        assert largest(theirs, sd.bare[True]) > 0.1
        sd.close(ours, theirs)
    finally:
        attachment.detach()
        sd.model.delete_adapters("default")
        sd.model.unload_lora()


def test_guidance_must_be_known(sd):
    with pytest.raises(omniid.InvalidArgumentError, match="guidance=True"):
        attach(sd.model, sd.conditioning)
    inputs = forward(sd)
    with torch.no_grad(), attach(sd.model, sd.conditioning, guidance=True):
        both = sd.model(**inputs).sample
    swapped = {key: value.flip(0) if key != "timestep" else value for key, value in inputs.items()}
    with torch.no_grad(), attach(sd.model, sd.conditioning, guidance=["conditional", "unconditional"]):
        assert torch.allclose(sd.model(**swapped).sample.flip(0), both, atol=1e-5)
    with torch.no_grad(), attach(sd.model, sd.conditioning, guidance=lambda rows: ["unconditional"] * (rows - 1)):
        with pytest.raises(omniid.MismatchError, match="3 rows"):
            sd.model(**forward(sd, rows=3))


def test_a_model_without_pipeline_is_told_the_step(sd):
    limited = sd.engine.condition(omniid.ConditioningInput(sd.identities[0], fraction=(0.5, 1.0)))
    inputs = forward(sd)
    with torch.no_grad(), attach(sd.model, limited, guidance=True) as attachment:
        with pytest.raises(omniid.InvalidArgumentError, match="range of steps"):
            sd.model(**inputs)
        attachment.step = omniid.Step(fraction=0.2)
        bare = sd.model(**inputs).sample
        attachment.step = omniid.Step(fraction=0.7)
        assert largest(sd.model(**inputs).sample, bare) > 0.01
    assert torch.equal(bare, run_bare(sd, inputs))


def run_bare(case, inputs):
    with torch.no_grad():
        return case.model(**inputs).sample


def test_gradients_pass(sd):
    """With gradients the keys are taken; against differences of the output."""
    inputs = forward(sd, rows=1)
    sample = inputs["sample"].double().float().requires_grad_(True)
    with attach(sd.model, sd.conditioning, guidance=False):
        out = sd.model(**(inputs | {"sample": sample})).sample
        gradient = torch.autograd.grad(out.sum(), sample)[0]
        direction = torch.randn(sample.shape, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            step = 1e-2
            values = [float(sd.model(**(inputs | {"sample": sample + s * step * direction})).sample.sum())
                      for s in (1, -1)]  # fmt: skip
    slope = float((gradient * direction).sum())
    assert abs((values[0] - values[1]) / (2 * step) - slope) <= 0.02 * max(1.0, abs(slope))
    with attach(sd.model, sd.conditioning, guidance=False, mode="inject"):
        with pytest.raises(omniid.UnsupportedError, match="gradients"):
            sd.model(**(inputs | {"sample": sample}))


def test_wrong_models_and_misuse(sd, tmp_path):
    sdxl = models.sdxl_pipeline()
    with pytest.raises(omniid.MismatchError, match="layer"):
        attach(sdxl, sd.conditioning)
    with pytest.raises(omniid.InvalidArgumentError):
        attach(object(), sd.conditioning)
    with pytest.raises(omniid.InvalidArgumentError):
        attach(sd.pipe, sd.identities[0])
    with pytest.raises(omniid.UnsupportedError):
        host_layers(torch.nn.Linear(2, 2))
    closed = sd.engine.condition(sd.identities[0])
    with attach(sd.pipe, closed):
        closed.close()
        with pytest.raises(omniid.ClosedError):
            run(sd.pipe)
    attach(sd.pipe, sd.conditioning)
    attach(sd.pipe, sd.conditioning)
    assert len(attachments(sd.pipe)) == 2
    detach(sd.pipe)
    assert attachments(sd.pipe) == ()


def test_threads_may_share_a_model(sd):
    inputs = forward(sd)
    with torch.no_grad(), attach(sd.model, sd.conditioning, guidance=True):
        expected = sd.model(**inputs).sample
        found, failures = [], []

        def work():
            try:
                with torch.no_grad():
                    for _ in range(3):
                        found.append(largest(sd.model(**inputs).sample, expected))
            except BaseException as error:  # the assertion below shows it
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures and len(found) == 9 and max(found) <= 1e-6


def test_a_dropped_pipeline_takes_its_attachment_along(sd):
    unet = models.sd_unet()
    attach(unet, sd.conditioning, guidance=True)
    gone = weakref.ref(unet)
    del unet
    gc.collect()
    assert gone() is None
