"""People in FLUX and SD3.5, with the real library, against the adapters' formulas in modules with ComfyUI's names."""

import native_model
import omniid
import pytest
import torch
import torch.nn.functional as F
import transformer_contract as contract
from transformer_contract import CONTEXT, HEAD_DIM, HEADS, WIDTH, run_chunks

LIMIT, SIGMA, WEIGHT = 1e-5, 0.6, 0.7
KINDS = ["xlabs", "instantx", "pulid"]
PULID_HEADS, PULID_DIM = 3, 8


def split(x, count):
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def attend(query, keys, values, count):
    parts = (split(part, count) for part in (query, keys, values))
    return F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)


class Adapter:
    """A model of one of the kinds for the FLUX of the tests, a person, and what the kind's code adds."""

    def __init__(self, folder, kind):
        self.kind = kind
        double = [(f"transformer_blocks.{i}.attn", ("double_block", i, 0, i)) for i in range(2)]
        single = [(f"single_transformer_blocks.{i}.attn", ("single_block", i, 0, 2 + i)) for i in range(3)]
        places = double if kind == "xlabs" else double + single
        sizes = (HEADS, HEAD_DIM, CONTEXT)
        if kind == "pulid":
            # Behind double block 0 and single blocks 0 and 2.
            places = [double[0], single[0], single[2]]
            places = [(name.removesuffix(".attn"), place) for name, place in places]
            sizes = (PULID_HEADS, PULID_DIM, CONTEXT, WIDTH)
        self.names = [name for name, _ in places]
        host = [(name, *sizes) for name in self.names]
        self.tensors = native_model.write(
            folder / f"{kind}.safetensors", host, token_width=CONTEXT, family="flux",
            adapter="residual" if kind == "pulid" else "plain", addresses=[place for _, place in places],
        )  # fmt: skip
        self.engine = omniid.Engine.open(folder / f"{kind}.safetensors")
        picture = native_model.picture(3)
        self.identity = self.engine.encode([picture], crop="none").identity
        self.other = self.engine.encode([native_model.picture(4)], crop="none").identity

    def weight(self, layer, name):
        return torch.from_numpy(self.tensors[f"adapter.layers.{layer}.{name}"])

    def tokens(self, identity):
        return torch.from_numpy(identity.tokens().numpy().copy())[None]

    def added(self, layer, identity, rows):
        """What one person adds, from the query, for the rows that follow the prompt; the others see zeros."""
        shown = torch.tensor(rows).view(-1, 1, 1) * self.tokens(identity)

        def add(query):
            sides = [shown @ self.weight(layer, f"to_{side}.weight").T for side in "kv"]
            if self.kind == "instantx":
                keys = split(sides[0], HEADS)
                sides[0] = keys * torch.rsqrt(keys.square().mean(-1, keepdim=True) + 1e-5)
                sides[0] = sides[0].transpose(1, 2).flatten(2)
            return attend(query, *sides, HEADS)

        def residual(hidden):
            weight = lambda name: self.weight(layer, name)  # noqa: E731
            norm = lambda x, name: F.layer_norm(x, x.shape[-1:], weight(f"{name}.weight"), weight(f"{name}.bias"))  # noqa: E731
            keys, values = (norm(shown, "norm1") @ weight("to_kv.weight").T).chunk(2, dim=-1)
            query = norm(hidden, "norm2") @ weight("to_q.weight").T
            return attend(query, keys, values, PULID_HEADS) @ weight("to_out.weight").T

        return residual if self.kind == "pulid" else add

    def reference(self, flux, people, rows, tokens, text):
        """Puts the formula of people, each an identity, a weight and a mask of the tokens, into a transformer."""

        def place(layer, first, last):
            def add(query):
                total = torch.zeros_like(query)
                part = query[:, first:last]
                for identity, weight, mask in people:
                    found = self.added(layer, identity, rows)(part)
                    total[:, first:last] += weight * (found if mask is None else found * mask.view(1, -1, 1))
                return total

            return add

        for layer, name in enumerate(self.names):
            group, number = name.removesuffix(".attn").rsplit(".", 1)
            single = group.startswith("single")
            block = (flux.single_blocks if single else flux.double_blocks)[int(number)]
            masked = any(mask is not None for *_, mask in people)
            first = text if single and (masked or self.kind == "pulid") else 0
            last = (text if single else 0) + tokens
            if self.kind == "xlabs":
                block.identity = place(layer, first, last)
            elif self.kind == "instantx":
                block.before = place(layer, first, last)
            else:
                block.register_forward_hook(_behind(place(layer, first, last), single))


def _behind(add, single):
    def hook(block, inputs, output):
        return output + add(output) if single else (output[0] + add(output[0]), output[1])

    return hook


@pytest.fixture(scope="module", params=KINDS)
def adapter(request, tmp_path_factory):
    with torch.inference_mode():
        return Adapter(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(2, 4, 7, 10, generator=generator)
    return x, {chunk: torch.randn(1, 5, CONTEXT, generator=generator) for chunk in (0, 1)}


def expected(adapter, people, inputs, chunks=(1, 0), **more):
    x, texts = inputs
    flux = contract.Flux()
    rows = [float(chunk == 0) for chunk in chunks for _ in range(len(x))]
    adapter.reference(flux, people, rows, 4 * 5, 5)
    return run_chunks(contract.patcher(flux), x, SIGMA, texts, chunks, **more)


def close(found, wanted, limit=LIMIT):
    found, wanted = torch.cat(list(found)), torch.cat(list(wanted))
    assert float((found - wanted).abs().max()) <= limit * max(1.0, float(wanted.abs().max()))


def bare(inputs, chunks=(1, 0), **more):
    return run_chunks(contract.patcher(contract.Flux()), inputs[0], SIGMA, inputs[1], chunks, **more)


def person(nodes, adapter, model, identity=None, **settings):
    settings = {"weight": WEIGHT, "unconditional": "zero tokens"} | settings
    identity = identity or adapter.identity
    return nodes("OmniIDApplyIdentity", model=model, omniid=adapter.engine, identity=identity, **settings)[0]


@pytest.mark.parametrize("chunks", [(1, 0), (0, 1), (0,)])
def test_one_person_equals_the_formula(adapter, nodes, inputs, chunks):
    model = contract.patcher(contract.Flux())
    patched = person(nodes, adapter, model)
    found = run_chunks(patched, inputs[0], SIGMA, inputs[1], chunks)
    wanted = expected(adapter, [(adapter.identity, WEIGHT, None)], inputs, chunks)
    close(found, wanted)
    without = bare(inputs, chunks)
    assert float((torch.cat(list(found)) - torch.cat(list(without))).abs().max()) > 0.05
    # The model that the node was given is as it was, and no hook stays in the modules.
    assert torch.equal(torch.cat(run_chunks(model, inputs[0], SIGMA, inputs[1], chunks)), torch.cat(without))
    modules = list(model.model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def test_weight_0_is_bit_identical(adapter, nodes, inputs):
    patched = person(nodes, adapter, contract.patcher(contract.Flux()), weight=0.0)
    assert not patched.model_options["transformer_options"].get("patches_replace")
    assert torch.equal(torch.cat(run_chunks(patched, *_run(inputs))), torch.cat(bare(inputs)))


def _run(inputs):
    return inputs[0], SIGMA, inputs[1], (1, 0)


def test_outside_of_its_steps_it_is_bit_identical(adapter, nodes, inputs):
    patched = person(nodes, adapter, contract.patcher(contract.Flux()), start_at=0.5)
    assert torch.equal(torch.cat(run_chunks(patched, *_run(inputs))), torch.cat(bare(inputs)))
    late = inputs[0], 0.3, inputs[1], (1, 0)
    without = torch.cat(run_chunks(contract.patcher(contract.Flux()), *late))
    assert not torch.equal(torch.cat(run_chunks(patched, *late)), without)


def test_several_patches_live_together(adapter, nodes, inputs):
    """Another node's replacement below, two people by two nodes and by one, and a copy of the model."""
    calls = []

    def other(arguments, extra):
        calls.append(arguments["img"].shape)
        return extra["original_block"](arguments)

    model = contract.patcher(contract.Flux())
    model.set_model_patch_replace(other, "dit", "double_block", 0)
    twice = person(nodes, adapter, person(nodes, adapter, model), adapter.other, weight=0.4)
    found = run_chunks(twice.clone(), *_run(inputs))
    assert len(calls) == 1
    if adapter.kind == "pulid":
        # The second one sees the first one's addition, as two nodes of PuLID do.
        once = run_chunks(person(nodes, adapter, model), *_run(inputs))
        assert float((torch.cat(found) - torch.cat(once)).abs().max()) > 0.01
        return
    people = [(adapter.identity, WEIGHT, None), (adapter.other, 0.4, None)]
    close(found, expected(adapter, people, inputs))
    everyone = nodes("OmniIDPerson", identity=adapter.identity, weight=WEIGHT, unconditional="zero tokens")[0]
    everyone = nodes("OmniIDPerson", identity=adapter.other, weight=0.4, people=everyone, unconditional="zero tokens")[
        0
    ]
    together = nodes("OmniIDApplyPeople", model=model, omniid=adapter.engine, people=everyone)[0]
    close(run_chunks(together, *_run(inputs)), found)


def test_a_block_that_another_node_skips_gets_nothing(adapter, nodes, inputs):
    model = contract.patcher(contract.Flux())
    model.set_model_patch_replace(lambda arguments, extra: {"img": arguments["img"], "txt": arguments["txt"]},
                                  "dit", "double_block", 1)  # fmt: skip
    patched = person(nodes, adapter, model)
    assert torch.isfinite(torch.cat(run_chunks(patched, *_run(inputs)))).all()


def token_mask(mask):
    """A mask on the grid of 4 x 5 tokens."""
    return F.interpolate(mask[None, None], size=(4, 5), mode="bilinear", align_corners=False).flatten()


def test_masks_and_reference_pictures(adapter, nodes, inputs):
    """Nobody is put into the tokens of reference pictures, and a mask covers the picture alone."""
    mask = torch.zeros(8, 10)
    mask[:, 6:] = 1
    references = {"ref_latents": [torch.randn(4, 4, 6, 4, generator=torch.Generator().manual_seed(8))]}
    for settings, covered in (({}, None), ({"mask": mask}, token_mask(mask))):
        patched = person(nodes, adapter, contract.patcher(contract.Flux()), **settings)
        found = run_chunks(patched, *_run(inputs), **references)
        close(found, expected(adapter, [(adapter.identity, WEIGHT, covered)], inputs, **references))


def test_weights_and_masks_of_pictures(adapter, nodes, inputs):
    settings = {"weight": [0.2, 0.9]}
    if adapter.kind == "pulid":
        with pytest.raises(omniid.UnsupportedError, match="each picture of a batch"):
            person(nodes, adapter, contract.patcher(contract.Flux()), **settings)
        return
    patched = person(nodes, adapter, contract.patcher(contract.Flux()), **settings)
    found = run_chunks(patched, *_run(inputs))
    for number, weight in enumerate(settings["weight"]):
        one = inputs[0][number : number + 1], inputs[1]
        wanted = expected(adapter, [(adapter.identity, weight, None)], one)
        close([side[number : number + 1] for side in found], wanted)


def test_layer_weights(adapter, nodes, inputs):
    options = nodes("OmniIDApplyOptions", layer_weights="0:0.5")[0]
    patched = person(nodes, adapter, contract.patcher(contract.Flux()), options=options)
    assert set(patched.model_options["transformer_options"]["patches_replace"]["dit"]) == {("double_block", 0)}
    options = nodes("OmniIDApplyOptions", layer_weights="7:1")[0]
    with pytest.raises(omniid.InvalidArgumentError, match="no transformer 7"):
        person(nodes, adapter, contract.patcher(contract.Flux()), options=options)


def test_watching(adapter, nodes, inputs):
    mask = torch.zeros(8, 10)
    mask[:, 6:] = 1
    patched = person(nodes, adapter, contract.patcher(contract.Flux()), mask=mask)
    watched, watch = nodes("OmniIDWatchAttention", model=patched)
    found = run_chunks(watched, *_run(inputs))
    close(found, run_chunks(patched, *_run(inputs)))
    everywhere = person(nodes, adapter, contract.patcher(contract.Flux()))
    close(run_chunks(nodes("OmniIDWatchAttention", model=everywhere)[0], *_run(inputs)),
          run_chunks(everywhere, *_run(inputs)))  # fmt: skip
    (seen,) = watch.maps()
    assert seen.shape == (7, 10) and float(seen[:, :3].max()) == 0 and float(seen[:, 8:].min()) > 0


def test_half_precision(adapter, nodes, inputs):
    flux = contract.Flux().to(torch.bfloat16)
    model = contract.patcher(flux)
    x, texts = inputs[0].bfloat16(), {chunk: text.bfloat16() for chunk, text in inputs[1].items()}
    for block in (*flux.double_blocks, *flux.single_blocks):
        block.forward = _in_type(block.forward)
    flux.forward = _in_type(flux.forward)
    found = run_chunks(person(nodes, adapter, model), x, SIGMA, texts, (1, 0))
    wanted = expected(adapter, [(adapter.identity, WEIGHT, None)], inputs)
    close([side.float() for side in found], wanted, 0.15)


def _in_type(forward):
    def run(*arguments, **keywords):
        cast = lambda value: value.bfloat16() if isinstance(value, torch.Tensor) else value  # noqa: E731
        return forward(*map(cast, arguments), **{name: cast(value) for name, value in keywords.items()})

    return run


def test_another_transformer_is_refused(adapter, nodes):
    for transformer in (contract.Flux(double=3), contract.MMDiT()):
        with pytest.raises(omniid.MismatchError):
            if adapter.kind == "pulid" and isinstance(transformer, contract.Flux):
                raise omniid.MismatchError("more blocks are no reason: PuLID has every second one")
            person(nodes, adapter, contract.patcher(transformer))


class Sd3:
    """InstantX' adapter for SD3.5, as the tests of omniid.diffusers have it."""

    def __init__(self, folder):
        test_sd3 = pytest.importorskip("test_sd3")
        with torch.inference_mode(False), torch.no_grad():
            self.case = test_sd3.Case(folder)
            with self.case.in_diffusers():
                self.projection = self.case.model.image_proj
                self.processors = [block.attn.processor for block in self.case.model.transformer_blocks]

    def reference(self, mmdit, timestep, rows, weight):
        """diffusers' modules between the blocks of ComfyUI's names."""
        features = torch.stack([row * self.case.features[0] for row in rows])
        tokens, embedding = self.projection(features, torch.full((len(rows),), timestep))
        for block, processor in zip(mmdit.joint_blocks, self.processors):

            def joint(query, keys, values, processor=processor):
                own = processor.norm_ip(tokens, temb=embedding)
                sides = [split(part(own), HEADS) for part in (processor.to_k_ip, processor.to_v_ip)]
                query, keys, values = (split(part, HEADS) for part in (query, keys, values))
                keys = torch.cat([processor.norm_k(keys), processor.norm_ip_k(sides[0])], dim=2)
                values = torch.cat([values, sides[1]], dim=2)
                found = F.scaled_dot_product_attention(processor.norm_q(query), keys, values)
                return weight * found.transpose(1, 2).flatten(2)

            block.joint = joint


@pytest.fixture(scope="module")
def sd3(tmp_path_factory):
    pytest.importorskip("diffusers")
    return Sd3(tmp_path_factory.mktemp("sd3"))


def test_sd35_equals_diffusers_modules(sd3, nodes, inputs):
    x, texts = inputs
    model = contract.patcher(contract.MMDiT())
    apply = dict(model=model, omniid=sd3.case.engine, identity=sd3.case.identity)
    patched = nodes("OmniIDApplyIdentity", weight=WEIGHT, **apply)[0]
    for sigma in (1.0, 0.6, 0.25):
        found = run_chunks(patched, x, sigma, texts, (1, 0))
        mmdit = contract.MMDiT()
        sd3.reference(mmdit, sigma * 1000, [0.0, 0.0, 1.0, 1.0], WEIGHT)
        wanted = run_chunks(contract.patcher(mmdit), x, sigma, texts, (1, 0))
        close(found, wanted)
        assert float((torch.cat(found) - torch.cat(run_chunks(model, x, sigma, texts, (1, 0)))).abs().max()) > 0.05
    nothing = nodes("OmniIDApplyIdentity", weight=0.0, **apply)[0]
    assert torch.equal(torch.cat(run_chunks(nothing, *_run(inputs))), torch.cat(run_chunks(model, *_run(inputs))))
    watched, watch = nodes("OmniIDWatchAttention", model=patched)
    run_chunks(watched, *_run(inputs))
    assert watch.maps()[0].shape == (7, 10)
    with pytest.raises(omniid.MismatchError, match="SD3.5 takes"):
        nodes("OmniIDApplyIdentity", **(apply | {"model": contract.patcher(contract.Flux())}))
