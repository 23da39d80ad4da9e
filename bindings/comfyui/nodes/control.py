"""What an identity gives to a ControlNet: InstantID's tokens in place of the prompt, and the points of the face."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from omniid import Engine, Identity, NoFaceError, draw_keypoints


def control_picture(engine: Engine, image: torch.Tensor) -> torch.Tensor:
    """The five points of the largest face on black, a ComfyUI image of the size of the picture."""
    pixels = image[0].detach().cpu().float().numpy()
    faces = engine.detect_faces(pixels)
    if not faces:
        raise NoFaceError("there is no face in the picture for the ControlNet's points; connect another to image_kps")
    picture = draw_keypoints(faces[0].landmarks, pixels.shape[:2])
    return torch.from_numpy(picture.astype(np.float32) / 255)[None]


def tokens_of(engine: Engine, identity: Identity) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens of the unconditional side and of the identity as a conditioning has them: `[1, tokens, width]` each."""
    sides = torch.from_numpy(np.array(engine.context_tokens(identity).numpy()))
    return sides[:1], sides[1:]


def conditioned(
    positive: Any,
    negative: Any,
    tokens: torch.Tensor,
    unconditional: torch.Tensor,
    control_net: Any,
    picture: torch.Tensor,
    strength: float,
    percents: tuple[float, float],
    mask: Any = None,
) -> tuple[list[Any], list[Any]]:
    """Both sides of ComfyUI's conditioning with a ControlNet that reads identity tokens instead of the prompt. What is
    there already, other ControlNets too, stays; ComfyUI gives those the tokens as well."""
    # One ControlNet for both sides where they had the same one before: ComfyUI runs them together then.
    made: dict[Any, Any] = {}

    def side(conditioning: Any, context: torch.Tensor) -> list[Any]:
        result = []
        for text, settings in conditioning:
            settings = dict(settings)
            before = settings.get("control")
            if before not in made:
                made[before] = control_net.copy().set_cond_hint(picture.movedim(-1, 1), strength, percents)
                made[before].set_previous_controlnet(before)
            settings["control"] = made[before]
            settings["control_apply_to_uncond"] = False
            # The name by which ComfyUI hands a ControlNet a context of its own.
            settings["cross_attn_controlnet"] = context
            if mask is not None:
                settings["mask"], settings["set_area_to_bounds"] = mask.reshape(1, *mask.shape[-2:]), False
            result.append([text, settings])
        return result

    return side(positive, tokens), side(negative, unconditional)
