"""Identities in pipelines and models of the diffusers library.

    from omniid.diffusers import attach

    with attach(pipe, engine.condition(identity)):
        image = pipe("a portrait in a garden").images[0]

Works with the UNets of Stable Diffusion 1.x and SDXL, with the transformers of FLUX and SD3.5, and with models of the
same design in any size (`host_layers`). Needs PyTorch and diffusers.
"""

from ._attachment import Attachment, attach, attachments, detach
from ._control import ControlNetAttachment, attach_controlnet
from ._layers import host_layers

__all__ = [
    "Attachment",
    "ControlNetAttachment",
    "attach",
    "attach_controlnet",
    "attachments",
    "detach",
    "host_layers",
]
