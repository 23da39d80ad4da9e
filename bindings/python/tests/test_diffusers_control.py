"""Identity tokens in a ControlNet: InstantID's way, on small random models."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import diffusers_models as models  # noqa: E402
import omniid  # noqa: E402
import torch  # noqa: E402
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionXLControlNetPipeline  # noqa: E402
from diffusers_models import largest, run  # noqa: E402
from omniid.diffusers import attach_controlnet  # noqa: E402

TOKENS = 5


class Reads(torch.nn.Module):
    """A ControlNet that is handed the tokens by hand, in the order of diffusers' batch: unconditional rows first."""

    def __init__(self, controlnet, sides):
        super().__init__()
        self.controlnet, self.sides = controlnet, sides

    def forward(self, sample, timestep, encoder_hidden_states, **keywords):
        each = len(sample) // len(self.sides)
        context = torch.cat([side[None].expand(each, -1, -1) for side in self.sides])
        return self.controlnet(sample, timestep, encoder_hidden_states=context, **keywords)


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def pipe(request):
    base = models.sd_pipeline() if request.param == "sd" else models.sdxl_pipeline()
    controlnet = ControlNetModel.from_unet(base.unet, conditioning_channels=3)
    models.randomise(controlnet, 21)
    parts = dict(base.components, controlnet=controlnet)
    if request.param == "sd":
        return StableDiffusionControlNetPipeline(**parts, requires_safety_checker=False)
    parts.pop("image_encoder", None), parts.pop("feature_extractor", None)
    return StableDiffusionXLControlNetPipeline(**parts, add_watermarker=False, force_zeros_for_empty_prompt=False)


@pytest.fixture(scope="module")
def sides():
    generator = torch.Generator().manual_seed(8)
    return tuple(torch.randn(TOKENS, models.CONTEXT, generator=generator) for _ in range(2))


PICTURE = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(9))


def arguments(pipe, guidance):
    given = models.arguments(pipe, guidance)
    if hasattr(pipe, "text_encoder_2") and "pooled_prompt_embeds" not in given:
        generator = torch.Generator().manual_seed(7)
        given["pooled_prompt_embeds"] = torch.randn(1, 16, generator=generator)
        if guidance:
            given["negative_pooled_prompt_embeds"] = torch.randn(1, 16, generator=generator)
    return given | {"image": PICTURE, "controlnet_conditioning_scale": 0.8}


@pytest.mark.parametrize("guidance", [True, False])
def test_the_controlnet_reads_the_tokens(pipe, sides, guidance, monkeypatch):
    given = arguments(pipe, guidance)
    bare = run(pipe, guidance, **given)
    keys = list(pipe.controlnet.state_dict())
    with attach_controlnet(pipe, sides):
        ours = run(pipe, guidance, **arguments(pipe, guidance))
    # The class is what the pipeline asks for: its forward is replaced on this one object.
    reads = Reads(ForwardOf(pipe.controlnet), sides if guidance else sides[1:])
    monkeypatch.setattr(pipe.controlnet, "forward", reads.forward)
    theirs = run(pipe, guidance, **arguments(pipe, guidance))
    monkeypatch.undo()
    assert largest(ours, bare) > 1e-3 and torch.equal(ours, theirs)
    assert torch.equal(run(pipe, guidance, **arguments(pipe, guidance)), bare)
    assert list(pipe.controlnet.state_dict()) == keys


class ForwardOf(torch.nn.Module):
    """The forward pass that an object of a class has by itself."""

    def __init__(self, module):
        super().__init__()
        self.forward = type(module).forward.__get__(module)


def test_misuse(pipe, sides):
    with pytest.raises(omniid.InvalidArgumentError, match="no ControlNet"):
        attach_controlnet(object(), sides)
    with pytest.raises(omniid.InvalidArgumentError, match="guidance=True"):
        attach_controlnet(pipe.controlnet, sides)
    with pytest.raises(omniid.MismatchError, match="tokens"):
        attach_controlnet(pipe, (sides[0], sides[1][:, :-1]))
    several = torch.nn.Module()
    several.nets = [1, 2]
    with pytest.raises(omniid.InvalidArgumentError, match="2 ControlNets"):
        attach_controlnet(pipe, sides, controlnet=several)
