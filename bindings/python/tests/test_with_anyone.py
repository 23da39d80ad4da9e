"""omniid.diffusers with WithAnyone: two cross-attentions behind each block of FLUX, against PyTorch modules written
here from the published facts."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import diffusers_models as models  # noqa: E402
import native_model  # noqa: E402
import numpy as np  # noqa: E402
import omniid  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from diffusers_models import largest, run  # noqa: E402
from omniid.diffusers import attach, attachments, host_layers  # noqa: E402
from transformers import SiglipVisionConfig, SiglipVisionModel  # noqa: E402

LIMIT = 1e-5
SCALE = 0.7
HIDDEN, EMBEDDING, FACE_TOKENS, FEATURES = 32, 12, 2, 20
HEADS, HEAD_DIM = 3, 8


class Projection(torch.nn.Sequential):
    def __init__(self, inputs, inner, outputs):
        super().__init__(
            torch.nn.Linear(inputs, inner), torch.nn.GELU(), torch.nn.LayerNorm(inner), torch.nn.Linear(inner, outputs)
        )


class CrossAttention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        inner = HEADS * HEAD_DIM
        self.norm1, self.norm2 = torch.nn.LayerNorm(HIDDEN), torch.nn.LayerNorm(HIDDEN)
        self.to_q = torch.nn.Linear(HIDDEN, inner, bias=False)
        self.to_kv = torch.nn.Linear(HIDDEN, 2 * inner, bias=False)
        self.to_out = torch.nn.Linear(inner, HIDDEN, bias=False)

    def forward(self, tokens, image):
        keys, values = self.to_kv(self.norm1(tokens)).expand(len(image), -1, -1).chunk(2, dim=-1)
        parts = [
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.to_q(self.norm2(image)), keys, values)
        ]
        return self.to_out(F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))


class WithAnyone(torch.nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.arcface_in_arc = Projection(EMBEDDING, 24, FACE_TOKENS * HIDDEN)
        self.arcface_in_sig = Projection(EMBEDDING, 24, FACE_TOKENS * HIDDEN)
        self.siglip_in_sig = Projection(FEATURES, HIDDEN, HIDDEN)
        self.ipa_arc = torch.nn.ModuleList(CrossAttention() for _ in range(blocks))
        self.ipa_sig = torch.nn.ModuleList(CrossAttention() for _ in range(blocks))

    def added(self, number, embedding, features, image, share):
        tokens = [net(embedding).view(1, FACE_TOKENS, HIDDEN) for net in (self.arcface_in_arc, self.arcface_in_sig)]
        sig = torch.cat([self.siglip_in_sig(features), tokens[1]], dim=1)
        return (1 - share) * self.ipa_arc[number](tokens[0], image) + share * self.ipa_sig[number](sig, image)


class Block(torch.nn.Module):
    def __init__(self, case, number, block):
        super().__init__()
        self.case, self.number, self.block = case, number, block

    def forward(self, *arguments, **keywords):
        text, image = self.block(*arguments, **keywords)
        case = self.case
        return text, image + SCALE * case.net.added(self.number, case.embedding, case.features, image, case.share)


class Case:
    def __init__(self, folder):
        self.share = 0.3
        self.pipe = models.flux_pipeline()
        self.model = self.pipe.transformer
        self.table = host_layers(self.pipe, "with_anyone", heads=HEADS, head_dim=HEAD_DIM, context=HIDDEN)
        self.net = models.randomise(WithAnyone(len(self.table)), 4)
        siglip = models.randomise(SiglipVisionModel(SiglipVisionConfig(
            hidden_size=FEATURES, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=224,
            patch_size=14,
        )), 5)  # fmt: skip
        siglip.save_pretrained(folder / "siglip")
        path = folder / "withanyone.safetensors"
        native_model.write_safetensors(path, {name: value.numpy() for name, value in self.net.state_dict().items()})
        self.engine = omniid.Engine.open(path, image_encoder=folder / "siglip", host_layers=self.table)
        picture = native_model.picture(3, 224, 224)
        values = np.random.default_rng(3).normal(0, 1, EMBEDDING).astype(np.float32)
        face = omniid.FaceEmbedding(values, network="glintr100")
        self.identity = self.engine.encode([omniid.Photo(picture, embedding=face)], crop="none").identity
        self.conditioning = self.engine.condition(self.identity, siglip_weight=self.share)
        self.embedding = torch.from_numpy(values)[None]
        with torch.no_grad():
            pixels = torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1
            self.features = siglip(pixels).last_hidden_state
        self.bare = run(self.pipe, False)

    def theirs(self):
        groups = {name: list(getattr(self.model, name)) for name in ("transformer_blocks", "single_transformer_blocks")}
        numbers = iter(range(len(self.table)))
        for name, blocks in groups.items():
            wrapped = [Block(self, next(numbers), block) for block in blocks]
            setattr(self.model, name, torch.nn.ModuleList(wrapped))
        try:
            return run(self.pipe, False)
        finally:
            for name, blocks in groups.items():
                setattr(self.model, name, torch.nn.ModuleList(blocks))


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("with_anyone"))


def test_a_pipeline_equals_the_reference_modules(case):
    assert [layer.name for layer in case.conditioning.layers] == [
        "transformer_blocks.0", "transformer_blocks.1", "single_transformer_blocks.0"
    ]  # fmt: skip
    with attach(case.pipe, case.conditioning, scale=SCALE):
        ours = run(case.pipe, False)
    expected = case.theirs()
    assert largest(expected, case.bare) > 0.1, "the identity changes nothing"
    assert largest(ours, expected) <= LIMIT * max(1.0, float(expected.abs().max()))


def test_scale_0_changes_no_bit_and_detaching_leaves_no_trace(case):
    attachment = attach(case.pipe, case.conditioning, scale=0)
    assert torch.equal(run(case.pipe, False), case.bare)
    attachment.detach()
    assert torch.equal(run(case.pipe, False), case.bare) and attachments(case.pipe) == ()
