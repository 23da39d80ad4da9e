"""omniid.diffusers with the adapters of FLUX beside XLabs', against PyTorch modules written here from the published
facts: InstantX inside the attention of double and single blocks, PuLID on the image's hidden state."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import diffusers_models as models  # noqa: E402
import native_model  # noqa: E402
import omniid  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from diffusers.models.transformers import transformer_flux  # noqa: E402
from diffusers_models import largest, run  # noqa: E402
from omniid.diffusers import attach, attachments, host_layers  # noqa: E402

LIMIT = 1e-5
SCALE = 0.7


def pipeline():
    transformer = models.randomise(transformer_flux.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=3, num_single_layers=5, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=models.CONTEXT, pooled_projection_dim=8, axes_dims_rope=(4, 4, 8),
    ), 3)  # fmt: skip
    pipe = models.flux_pipeline()
    pipe.register_modules(transformer=transformer)
    return pipe


class Case:
    """A pipeline, a model with an adapter for it, and a person."""

    def __init__(self, kind, folder):
        self.kind, self.pipe = kind, pipeline()
        self.model = self.pipe.transformer
        sizes = dict(heads=3, head_dim=8, context=24) if kind == "pulid" else {}
        self.table = host_layers(self.pipe, kind, **sizes)
        host = [(layer.name, layer.heads, layer.head_dim, layer.context) for layer in self.table]
        if kind == "pulid":
            host = [(*layer, 32) for layer in host]
        path = folder / f"{kind}.safetensors"
        adapter = "residual" if kind == "pulid" else "plain"
        self.tensors = native_model.write(path, host, token_width=24, adapter=adapter, width=32)
        self.engine = omniid.Engine.open(path, host_layers=self.table)
        self.identity = self.engine.encode([native_model.picture(3)], crop="none").identity
        self.conditioning = self.engine.condition(self.identity)
        self.tokens = torch.from_numpy(self.identity.tokens().numpy().copy())[None]
        self.bare = {guidance: run(self.pipe, guidance) for guidance in (True, False)}

    def weight(self, layer, name):
        return torch.from_numpy(self.tensors[f"adapter.layers.{layer}.{name}"])

    def number(self, name):
        return next(i for i, layer in enumerate(self.table) if layer.name == name)


@pytest.fixture(scope="module", params=["instantx", "pulid"])
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp(request.param))


def heads(x, count):
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


class InstantX:
    """A processor of diffusers with the identity's attention, which is added before the output projection."""

    def __init__(self, case, name):
        self.own, number = case.model.get_submodule(name).processor, case.number(name)
        keys, values = (case.tokens @ case.weight(number, f"to_{side}.weight").T for side in "kv")
        keys = heads(keys, 2)
        self.keys = keys * torch.rsqrt(keys.square().mean(-1, keepdim=True) + 1e-5)
        self.values = heads(values, 2)

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, *more):
        query = attn.norm_q(attn.to_q(hidden_states).unflatten(-1, (2, -1))).transpose(1, 2)
        size = query.shape[0], -1, -1, -1
        found = F.scaled_dot_product_attention(query, self.keys.expand(size), self.values.expand(size))
        added = SCALE * found.transpose(1, 2).flatten(2)
        if encoder_hidden_states is None:
            return self.own(attn, hidden_states, None, *more) + added
        out, text = self.own(attn, hidden_states, encoder_hidden_states, *more)
        # The projection is linear: what goes in before it comes out with its weight, without the bias.
        return out + added @ attn.to_out[0].weight.T, text


class Pulid(torch.nn.Module):
    """A block with the cross-attention behind it."""

    def __init__(self, case, name, block):
        super().__init__()
        self.case, self.number, self.block = case, case.number(name), block

    def forward(self, *arguments, **keywords):
        text, image = self.block(*arguments, **keywords)
        weight = lambda name: self.case.weight(self.number, name)  # noqa: E731
        norm = lambda x, name: F.layer_norm(x, x.shape[-1:], weight(f"{name}.weight"), weight(f"{name}.bias"))  # noqa: E731
        query = norm(image, "norm2") @ weight("to_q.weight").T
        keys, values = (norm(self.case.tokens, "norm1") @ weight("to_kv.weight").T).chunk(2, dim=-1)
        size = image.shape[0], -1, -1
        parts = (heads(x, 3) for x in (query, keys.expand(size), values.expand(size)))
        found = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        return text, image + SCALE * found @ weight("to_out.weight").T


def theirs(case):
    """The latents with the reference modules in the model."""
    model = case.model
    if case.kind == "instantx":
        before = dict(model.attn_processors)
        model.set_attn_processor({f"{layer.name}.processor": InstantX(case, layer.name) for layer in case.table})
        try:
            return run(case.pipe, False)
        finally:
            model.set_attn_processor(before)
    groups = {name: list(getattr(model, name)) for name in ("transformer_blocks", "single_transformer_blocks")}
    for layer in case.table:
        group, number = layer.name.rsplit(".", 1)
        getattr(model, group)[int(number)] = Pulid(case, layer.name, groups[group][int(number)])
    try:
        return run(case.pipe, False)
    finally:
        for name, blocks in groups.items():
            setattr(model, name, torch.nn.ModuleList(blocks))


def close(ours, expected):
    assert largest(ours, expected) <= LIMIT * max(1.0, float(expected.abs().max()))


def hooks(model):
    """How many hooks there are in a model, and what was put over its methods."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called")
    counts = [len(getattr(module, kind)) for module in model.modules() for kind in kinds]
    return sum(counts), "cache_context" in vars(model)


def test_the_layers_are_those_of_the_adapter(case):
    names = [layer.name for layer in case.conditioning.layers]
    assert case.conditioning.is_residual == (case.kind == "pulid")
    if case.kind == "pulid":
        assert names == ["transformer_blocks.0", "transformer_blocks.2", "single_transformer_blocks.0",
                         "single_transformer_blocks.4"]  # fmt: skip
        assert {layer.hidden for layer in case.conditioning.layers} == {32}
    else:
        assert names[2:4] == ["transformer_blocks.2.attn", "single_transformer_blocks.0.attn"] and len(names) == 8


def test_a_pipeline_equals_the_reference_modules(case):
    with attach(case.pipe, case.conditioning, scale=SCALE):
        ours = run(case.pipe, False)
    expected = theirs(case)
    assert largest(expected, case.bare[False]) > 0.1, "the identity changes nothing"
    close(ours, expected)


def test_pytorch_adds_the_same_from_the_keys(case):
    if case.kind == "pulid":
        with pytest.raises(omniid.errors.UnsupportedError, match="mode 'keys'"):
            attach(case.pipe, case.conditioning, mode="keys")
        return
    with attach(case.pipe, case.conditioning, scale=SCALE, mode="keys"):
        ours = run(case.pipe, False)
    close(ours, theirs(case))


@pytest.mark.parametrize("guidance", [True, False])
def test_scale_0_changes_no_bit_and_detaching_leaves_no_trace(case, guidance):
    before = hooks(case.model)
    attachment = attach(case.pipe, case.conditioning, scale=0)
    assert torch.equal(run(case.pipe, guidance), case.bare[guidance])
    attachment.scale = SCALE
    changed = run(case.pipe, guidance)
    assert largest(changed, case.bare[guidance]) > 0.1
    attachment.detach()
    assert torch.equal(run(case.pipe, guidance), case.bare[guidance])
    assert hooks(case.model) == before and attachments(case.pipe) == ()


def test_a_mask_keeps_to_its_part_of_the_picture(case):
    mask = torch.zeros(6, 8)
    mask[:, 5:] = 1
    conditioning = case.engine.condition(omniid.ConditioningInput(case.identity, mask=mask))
    seen = {}
    name = "transformer_blocks.0"

    def record(block, inputs, result):
        seen[len(seen)] = result[1].clone()

    hook = case.model.get_submodule(name).register_forward_hook(record)
    generator = torch.Generator().manual_seed(6)
    ids = torch.zeros(48, 3)
    ids[:, 1], ids[:, 2] = torch.arange(48) // 8, torch.arange(48) % 8
    inputs = dict(
        hidden_states=torch.randn(1, 48, 16, generator=generator), timestep=torch.full((1,), 0.5), img_ids=ids,
        encoder_hidden_states=torch.randn(1, 7, models.CONTEXT, generator=generator), txt_ids=torch.zeros(7, 3),
        pooled_projections=torch.randn(1, 8, generator=generator),
    )  # fmt: skip
    with torch.no_grad():
        case.model(**inputs)
        with attach(case.model, conditioning):
            # Hooks run in the order of their making: the attachment's are behind the first one.
            hook.remove()
            hook = case.model.get_submodule(name).register_forward_hook(record)
            case.model(**inputs)
    hook.remove()
    apart = (seen[0] - seen[1]).abs().amax(dim=-1).view(6, 8)
    # ComfyUI's masks are resampled bilinearly: the column at the edge may have a share.
    assert float(apart[:, :4].max()) <= 1e-6 and float(apart[:, 6:].min()) > 1e-3
