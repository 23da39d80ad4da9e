"""The hooks against a plain reference: every layer, every order of chunks, masks, steps, several people, errors."""

import copy

import hook_contract
import numpy as np
import omniid
import pytest
import torch
from conftest import adapter_order, photo_batch
from hook_contract import run_chunks
from reference import Reference

CHUNKS = ([0], [1], [1, 0], [0, 1], [1, 0, 1])
SIGMA = 3.0


def tokens(identity):
    return torch.from_numpy(np.array(identity.tokens().numpy()))


def reference(comfy, layout, unet, people, weight=lambda *_: 0.8, **more):
    path = comfy.folder / "models" / "omniid" / f"{layout}.safetensors"
    return Reference(unet, path, adapter_order(unet), people, weight, **more)


def largest(a, b):
    return float((a.double() - b.double()).abs().max())


def count_hooks(model):
    """Wraps every hook so that it says where it was called."""
    fired = []
    for key, hook in model.attn2.items():

        def counted(q, k, v, extra, hook=hook):
            fired.append((*extra["block"], extra["block_index"]))
            return hook(q, k, v, extra)

        model.attn2[key] = counted
    return fired


def test_equals_a_plain_reference(comfy, layout, unets, model, engine, anna, nodes, inputs):
    patched = nodes(
        "OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, weight=0.8, unconditional="zero tokens"
    )[0]
    x, texts = inputs
    zeros = torch.zeros_like(tokens(anna))
    plain = reference(comfy, layout, unets[layout], [{0: tokens(anna), 1: zeros}])
    bare = run_chunks(model, x, SIGMA, texts, [0])[0]
    for chunks in CHUNKS:
        found = run_chunks(patched, x, SIGMA, texts, chunks)
        for result, expected in zip(found, plain.run(x, SIGMA, texts, chunks)):
            assert largest(result, expected) <= 1e-5
    assert largest(bare, found[1]) > 1e-2, "the identity must change something"
    assert len(set(plain.fired)) == {"sd15": 16, "sdxl": 70}[layout]


def test_every_hook_fires_and_the_middle_block_with_them(layout, model, engine, anna, nodes, inputs):
    x, texts = inputs
    expected = {"sd15": (16, 15, 1), "sdxl": (70, 60, 10)}[layout]
    counts = []
    for middle in ("inject", "skip, as IPAdapter_plus does"):
        options = nodes("OmniIDApplyOptions", middle_block=middle)[0]
        patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, options=options)[0]
        fired = count_hooks(patched)
        run_chunks(patched, x, SIGMA, texts, [1, 0])
        assert len(fired) == len(set(fired))
        counts.append(len(fired))
        if middle == "inject":
            assert sum(block == "middle" for block, _, _ in fired) == expected[2]
    assert tuple(counts) == expected[:2]


def test_keys_are_those_that_other_packs_look_for(layout, model, engine, anna, nodes):
    patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna)[0]
    lengths = {len(key) for key in patched.attn2}
    assert lengths == ({2} if layout == "sd15" else {3})
    assert ("middle", 0) in {key[:2] for key in patched.attn2}
    assert not model.attn2, "the model that came in stays as it is"


def test_the_order_of_chunks_does_not_matter(model, engine, anna, nodes, inputs):
    x, texts = inputs
    patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna)[0]
    both = run_chunks(patched, x, SIGMA, texts, [1, 0])
    for chunks in CHUNKS:
        for chunk, result in zip(chunks, run_chunks(patched, x, SIGMA, texts, chunks)):
            assert largest(result, both[1 - chunk]) <= 1e-5
    assert largest(both[0], both[1]) > 1e-2


def test_weight_zero_leaves_the_model_untouched(model, engine, anna, nodes, inputs):
    x, texts = inputs
    patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, weight=0.0)[0]
    for a, b in zip(run_chunks(patched, x, SIGMA, texts, [1, 0]), run_chunks(model, x, SIGMA, texts, [1, 0])):
        assert torch.equal(a, b)


def test_unconditional_none_leaves_those_rows_untouched(model, engine, anna, nodes, inputs):
    x, texts = inputs
    patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, unconditional="none")[0]
    found, bare = run_chunks(patched, x, SIGMA, texts, [1, 0]), run_chunks(model, x, SIGMA, texts, [1, 0])
    assert torch.equal(found[0], bare[0])
    assert not torch.equal(found[1], bare[1])


def test_step_range(model, engine, anna, nodes, inputs):
    x, texts = inputs
    patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, start_at=0.2, end_at=0.6)[0]
    sampling = model.get_model_object("model_sampling")
    first, last = sampling.percent_to_sigma(0.2), sampling.percent_to_sigma(0.6)
    assert first > last > 0
    for sigma, active in ((first * 1.01, 0), (first * 0.99, 1), (last * 1.01, 1), (last * 0.99, 0)):
        found = run_chunks(patched, x, sigma, texts, [1, 0])
        bare = run_chunks(model, x, sigma, texts, [1, 0])
        assert torch.equal(found[1], bare[1]) is not bool(active), sigma


def test_a_mask_by_halves(comfy, layout, unets, model, engine, anna, nodes, inputs):
    """A mask whose edge lies between tokens of every level says the same to every way of resizing it."""
    x, texts = inputs
    mask = torch.zeros(96, 64)
    mask[:, :32] = 1
    patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, mask=mask[None])[0]
    # Only layers at the latent's own size and one level below; there the mask is the left half exactly.
    seen = {}
    for key, hook in patched.attn2.items():

        def watched(q, k, v, extra, hook=hook, key=key):
            without = hook_contract.optimized_attention(q, k, v, extra["n_heads"])
            delta = (hook(q, k, v, extra) - without).abs().amax(dim=2)
            seen[key] = (delta, q.shape[1])
            return without + 0 * delta[:, :, None]

        patched.attn2[key] = watched
    run_chunks(patched, x, SIGMA, texts, [0])
    sizes = {96: (12, 8), 24: (6, 4)}
    checked = 0
    for delta, rows in seen.values():
        if rows in sizes:
            grid = delta.reshape(-1, *sizes[rows])
            half = sizes[rows][1] // 2
            # Bilinear resizing blurs across the edge by less than one token.
            assert float(grid[:, :, half + 1 :].max()) == 0.0
            assert float(grid[:, :, : half - 1].min()) > 0.0
            checked += 1
    assert checked >= 8


def test_masks_are_those_of_the_reference(comfy, layout, unets, model, engine, anna, ben, nodes, inputs):
    """Two people, each with a mask that has one value for each image token of some layers: there the same factors go
    into the reference. The other layers are left out by layer weights."""
    x, texts = inputs
    generator = torch.Generator().manual_seed(8)
    size, first = {"sd15": ((12, 8), (0, 1, 13, 14, 15)), "sdxl": ((6, 4), (0, 1, 8, 9, 10))}[layout]
    masks = [torch.rand(size, generator=generator) for _ in range(2)]
    unet = unets[layout]
    options = nodes("OmniIDApplyOptions", layer_weights=", ".join(f"{t}:1" for t in first))[0]
    people = ()
    for identity, mask in zip((anna, ben), masks):
        people = nodes(
            "OmniIDPerson", identity=identity, weight=0.7, mask=mask, people=people, unconditional="zero tokens"
        )[0]
    patched = nodes("OmniIDApplyPeople", model=model, omniid=engine, people=people, options=options)[0]
    zeros = torch.zeros_like(tokens(anna))
    plain = reference(
        comfy, layout, unet, [{0: tokens(anna), 1: zeros}, {0: tokens(ben), 1: zeros}],
        lambda block, number, index, transformer, person, chunk: 0.7 if transformer in first else 0.0, masks=masks,
    )  # fmt: skip
    found = run_chunks(patched, x, SIGMA, texts, [1, 0])
    for result, expected in zip(found, plain.run(x, SIGMA, texts, [1, 0])):
        assert largest(result, expected) <= 1e-5


def test_several_people_add_up(comfy, layout, unets, model, engine, anna, ben, nodes, inputs):
    x, texts = inputs
    zeros = torch.zeros_like(tokens(anna))
    plain = reference(
        comfy, layout, unets[layout], [{0: tokens(anna), 1: zeros}, {0: tokens(ben), 1: tokens(anna)}],
        lambda block, number, index, transformer, person, chunk: (0.9, 0.4)[person],
    )  # fmt: skip
    expected = plain.run(x, SIGMA, texts, [1, 0])
    one = nodes("OmniIDPerson", identity=anna, weight=0.9, unconditional="zero tokens")[0]
    both = nodes("OmniIDPerson", identity=ben, weight=0.4, negative=anna, people=one)[0]
    together = nodes("OmniIDApplyPeople", model=model, omniid=engine, people=both)[0]
    chained = nodes(
        "OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, weight=0.9, unconditional="zero tokens"
    )[0]
    chained = nodes("OmniIDApplyIdentity", model=chained, omniid=engine, identity=ben, weight=0.4, negative=anna)[0]
    for patched in (together, chained):
        for result, wanted in zip(run_chunks(patched, x, SIGMA, texts, [1, 0]), expected):
            assert largest(result, wanted) <= 1e-5


def test_weight_types_follow_their_table(comfy, layout, unets, model, engine, anna, nodes, inputs):
    """Style transfer and ease in, from the table of IPAdapter_plus's weights."""
    x, texts = inputs
    count = {"sd15": 16, "sdxl": 11}[layout]
    style = {"sd15": {*range(0, 4), *range(9, 16)}, "sdxl": {6}}[layout]
    for weight_type, factor in (
        ("style transfer", lambda t: 0.8 if t in style else 0.0),
        ("ease in", lambda t: 0.8 * (0.05 + 0.95 * (1 - t / count))),
    ):
        patched = nodes(
            "OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, weight=0.8, weight_type=weight_type,
            unconditional="none",
        )[0]  # fmt: skip
        plain = reference(
            comfy, layout, unets[layout], [{0: tokens(anna), 1: None}],
            lambda block, number, index, transformer, person, chunk, factor=factor: factor(transformer),
        )  # fmt: skip
        result, expected = (run(x, SIGMA, texts, [0])[0] for run in (lambda *a: run_chunks(patched, *a), plain.run))
        assert largest(result, expected) <= 1e-5


def test_half_precision_and_gradients_take_the_torch_path(model, engine, anna, nodes, inputs, unets, layout):
    x, texts = inputs
    patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna)[0]
    expected = run_chunks(patched, x, SIGMA, texts, [1, 0])
    double = hook_contract.patcher(copy.deepcopy(unets[layout]).double())
    double.model_options = patched.clone().model_options
    found = run_chunks(double, x.double(), SIGMA, {i: text.double() for i, text in texts.items()}, [1, 0])
    for a, b in zip(found, expected):
        assert a.dtype == torch.float64 and largest(a, b) <= 1e-5
    half = hook_contract.patcher(copy.deepcopy(unets[layout]).bfloat16())
    half.model_options = patched.clone().model_options
    bare = hook_contract.patcher(half.model.diffusion_model)
    texts = {i: text.bfloat16() for i, text in texts.items()}
    a, b = (run_chunks(m, x.bfloat16(), SIGMA, texts, [0])[0].float() for m in (half, bare))
    change = expected[1] - run_chunks(model, x, SIGMA, inputs[1], [0])[0]
    assert torch.nn.functional.cosine_similarity((a - b).flatten(), change.flatten(), dim=0) > 0.9
    with torch.inference_mode(False), torch.enable_grad():
        q = torch.randn(2, 96, 8, requires_grad=True)
        hook = next(iter(patched.attn2.values()))
        rows = {"n_heads": 2, "cond_or_uncond": [1, 0], "sigmas": torch.tensor([SIGMA, SIGMA])}
        out = hook(q, torch.randn(2, 7, 8), torch.randn(2, 7, 8), rows)
        (gradient,) = torch.autograd.grad(out.sum(), q)
        assert float(gradient.abs().max()) > 0


def test_moving_the_model_forgets_copies_and_changes_nothing(model, engine, anna, nodes, inputs):
    x, texts = inputs
    patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna)[0]
    hook = next(iter(patched.attn2.values()))
    before = run_chunks(patched, x, SIGMA, texts, [1, 0])
    store = hook.injection.store
    store.delta(hook.layer, torch.randn(2, 4, 8), (omniid.Role.CONDITIONAL,) * 2, 1.0, None, None)
    assert len(store._pairs) == 1
    patched.model_patches_to(torch.float16)
    patched.model_patches_to(torch.device("cpu"))
    assert len(store._pairs) == 1
    patched.model_patches_to(torch.device("meta"))
    assert not store._pairs and not store._masks
    assert all(torch.equal(a, b) for a, b in zip(before, run_chunks(patched, x, SIGMA, texts, [1, 0])))
    assert patched.model_patches_models() == []


def test_clones_share_nothing_that_changes(model, engine, anna, ben, nodes, inputs):
    x, texts = inputs
    one = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna)[0]
    before = run_chunks(one, x, SIGMA, texts, [1, 0])
    nodes("OmniIDApplyIdentity", model=one, omniid=engine, identity=ben)
    # Releases of ComfyUI before 2025 copied patches deeply.
    older = one.clone()
    older.model_options = copy.deepcopy(one.model_options)
    for hook in older.attn2.values():
        hook.add(lambda out, q, k, v, extra, **_: out * 0 + 1)
    for again in (one, model):
        found = run_chunks(again, x, SIGMA, texts, [1, 0])
        assert all(torch.equal(a, b) for a, b in zip(found, before)) is (again is one)
    assert not torch.equal(run_chunks(older, x, SIGMA, texts, [1, 0])[1], before[1])


class Summing:
    """IPAdapter_plus's replacement, as others see it: a function with `add` that sums callbacks on the text's
    attention."""

    def __init__(self, callback, **settings):
        self.callbacks = [(callback, settings)]

    def add(self, callback, **settings):
        self.callbacks.append((callback, settings))

    def __call__(self, q, k, v, extra):
        out = hook_contract.optimized_attention(q, k, v, extra["n_heads"])
        for callback, settings in self.callbacks:
            out = out + callback(out, q, k, v, extra, **settings)
        return out


def adapter_callback(out, q, k, v, extra, strength, **_):
    return torch.sin(q) * strength


def put_adapter(model, key):
    """As IPAdapter_plus puts itself in: beside what is there, or first."""
    model = model.clone()
    settings = {"strength": 0.5, "sigma_start": 999999999.9, "sigma_end": 0.0}
    if key in model.attn2:
        model.attn2[key].add(adapter_callback, **settings)
    else:
        model.set_model_attn2_replace(Summing(adapter_callback, **settings), *key)
    return model


def test_other_adapters_before_and_after(layout, model, engine, anna, nodes, inputs):
    x, texts = inputs
    key = ("input", 4) if layout == "sd15" else ("input", 4, 0)
    settings = dict(omniid=engine, identity=anna, unconditional="none")
    before = nodes("OmniIDApplyIdentity", model=put_adapter(model, key), **settings)[0]
    after = put_adapter(nodes("OmniIDApplyIdentity", model=model, **settings)[0], key)
    alone = put_adapter(model, key)
    results = [run_chunks(m, x, SIGMA, texts, [1, 0]) for m in (before, after, alone)]
    for a, b in zip(results[0], results[1]):
        assert largest(a, b) <= 1e-5
    # The adapter acts on both sides; ours leaves the unconditional one alone.
    assert torch.equal(results[0][0], results[2][0]) and largest(results[0][1], results[2][1]) > 1e-2


def test_a_hook_with_an_index_keeps_its_key(model, engine, anna, nodes, inputs):
    """Another pack's function at the long key is the one that ComfyUI calls: it has to be chained there."""
    x, texts = inputs
    calls = []

    def other(q, k, v, extra):
        calls.append(extra["block_index"])
        return hook_contract.optimized_attention(q, k, v, extra["n_heads"])

    first = model.clone()
    first.set_model_attn2_replace(other, "middle", 0, 0)
    patched = nodes("OmniIDApplyIdentity", model=first, omniid=engine, identity=anna)[0]
    plain = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna)[0]
    found = run_chunks(patched, x, SIGMA, texts, [1, 0])
    assert calls == [0]
    assert largest(found[1], run_chunks(plain, x, SIGMA, texts, [1, 0])[1]) <= 1e-6


def test_an_output_that_is_somebody_elses_is_not_written(model, engine, anna, nodes, inputs):
    kept = torch.ones(2, 96, 8)
    first = model.clone()
    key = next(iter(nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna)[0].attn2))
    first.set_model_attn2_replace(lambda q, k, v, extra: kept, *key)
    patched = nodes("OmniIDApplyIdentity", model=first, omniid=engine, identity=anna)[0]
    rows = {"n_heads": 2, "cond_or_uncond": [0], "sigmas": torch.tensor([SIGMA] * 2)}
    out = patched.attn2[key](torch.randn(2, 96, 8), torch.randn(2, 7, 8), torch.randn(2, 7, 8), rows)
    assert torch.equal(kept, torch.ones(2, 96, 8)) and not torch.equal(out, kept)


def test_layer_weights(comfy, layout, unets, model, engine, anna, nodes, inputs):
    x, texts = inputs
    options = nodes("OmniIDApplyOptions", layer_weights="4:0.5\n 6 : 2")[0]
    patched = nodes(
        "OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, options=options, unconditional="none"
    )[0]
    plain = reference(
        comfy, layout, unets[layout], [{0: tokens(anna), 1: None}],
        lambda block, number, index, transformer, person, chunk: {4: 0.5, 6: 2.0}.get(transformer, 0.0),
    )  # fmt: skip
    result, expected = run_chunks(patched, x, SIGMA, texts, [0])[0], plain.run(x, SIGMA, texts, [0])[0]
    assert largest(result, expected) <= 1e-5
    for text, message in (("99:1", "no transformer 99"),):
        options = nodes("OmniIDApplyOptions", layer_weights=text)[0]
        with pytest.raises(omniid.InvalidArgumentError, match=message):
            nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, options=options)


def test_errors_say_what_does_not_fit(layout, unets, model, engine, anna, nodes, inputs):
    x, texts = inputs
    other = hook_contract.patcher(unets["sdxl" if layout == "sd15" else "sd15"])
    with pytest.raises(omniid.MismatchError, match=r"this UNet has \d+"):
        nodes("OmniIDApplyIdentity", model=other, omniid=engine, identity=anna)
    with pytest.raises(omniid.UnsupportedError, match="Stable Diffusion"):
        nodes("OmniIDApplyIdentity", model=hook_contract.patcher(torch.nn.Linear(1, 1)), omniid=engine, identity=anna)
    wide = hook_contract.UNet([8, 8, 16, 16], [1, 1, 1, 0], 1, 4, 1) if layout == "sd15" else None
    if wide is not None:
        with pytest.raises(omniid.MismatchError, match="2 heads of 4, the UNet has 4 of 2"):
            nodes("OmniIDApplyIdentity", model=hook_contract.patcher(wide), omniid=engine, identity=anna)
    with pytest.raises(omniid.InvalidArgumentError, match="start_at"):
        nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, start_at=0.5, end_at=0.5)
    with pytest.raises(omniid.InvalidArgumentError, match=r"\[3, 1, 8, 8\]; it must be"):
        nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna, mask=torch.ones(3, 1, 8, 8))
    patched = nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=anna)[0]
    hook = next(iter(patched.attn2.values()))
    rows = {"n_heads": 2, "cond_or_uncond": [0, 1], "sigmas": torch.ones(3)}
    with pytest.raises(omniid.MismatchError, match="3 rows cannot consist of 2"):
        hook(torch.randn(3, 96, 8), torch.randn(3, 7, 8), torch.randn(3, 7, 8), rows)
    with pytest.raises(omniid.MismatchError):
        hook(torch.randn(1, 96, 24), torch.randn(1, 7, 24), torch.randn(1, 7, 24), {"n_heads": 2})


def test_identities_of_another_model_are_refused(layout, model, engine, nodes, comfy, unets):
    from conftest import write_model

    path = write_model(
        comfy.folder / "models" / "omniid" / f"other-{layout}.safetensors", unets[layout], layout, seed=9
    )
    other = nodes("OmniIDLoadModel", checkpoint=path.name)[0]
    stranger = nodes("OmniIDEncodePhotos", omniid=other, images=photo_batch(4))[0]
    with pytest.raises(omniid.MismatchError):
        nodes("OmniIDApplyIdentity", model=model, omniid=engine, identity=stranger)
