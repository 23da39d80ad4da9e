"""Identity tokens for a ControlNet that reads them in place of the prompt: InstantID's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np
import torch

from .. import errors
from ..enums import Role
from ..tensors import Tensor
from ._sampling import Guidance, chunk_roles, row_roles

Tokens = Union[Tensor, torch.Tensor, Sequence[Union[Tensor, torch.Tensor]]]
"""What a ControlNet reads: `[2, tokens, width]`, of the unconditional side and of the identity; or the two by
themselves."""


class ControlNetAttachment:
    """Identity tokens that a ControlNet reads. A context manager: leaving it detaches."""

    tokens: dict[Role, torch.Tensor]
    """`[tokens, width]` of both sides of guidance, float32."""

    def __init__(self, target: Any, tokens: Tokens, controlnet: Optional[torch.nn.Module], guidance: Guidance) -> None:
        model = target if isinstance(target, torch.nn.Module) else getattr(target, "controlnet", None)
        model = controlnet if controlnet is not None else model
        if not isinstance(model, torch.nn.Module):
            raise errors.InvalidArgumentError(f"a {type(target).__name__} has no ControlNet, nor is it one")
        if hasattr(model, "nets"):
            raise errors.InvalidArgumentError(
                f"the pipeline has {len(model.nets)} ControlNets; say which one reads the identity, such as "
                "controlnet=pipe.controlnet.nets[0]"
            )
        self._pipeline = None if isinstance(target, torch.nn.Module) else target
        self._guidance = guidance
        if guidance is None and self._pipeline is None:
            chunk_roles(None, None, None, 1, True)  # says what is missing
        sides = _torch(tokens) if isinstance(tokens, (Tensor, torch.Tensor)) else [_torch(side) for side in tokens]
        if len(sides) != 2:
            raise errors.InvalidArgumentError(f"tokens of {len(sides)} sides; they must be of two, unconditional first")
        self.tokens = dict(zip((Role.UNCONDITIONAL, Role.CONDITIONAL), sides))
        shapes = [tuple(side.shape) for side in self.tokens.values()]
        width = getattr(getattr(model, "config", None), "cross_attention_dim", shapes[0][-1])
        if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1] != width:
            raise errors.MismatchError(
                f"the tokens have shapes {shapes[0]} and {shapes[1]}; the ControlNet reads [tokens, {width}]"
            )
        self._hook: Any = model.register_forward_pre_hook(self._replace, with_kwargs=True)

    def _replace(
        self, model: object, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        text = keywords["encoder_hidden_states"] if len(arguments) < 3 else arguments[2]
        roles = row_roles(chunk_roles(self._guidance, self._pipeline, None, len(text), True), len(text))
        context = torch.stack([self.tokens[role] for role in roles]).to(text.device, text.dtype)
        if len(arguments) < 3:
            return arguments, {**keywords, "encoder_hidden_states": context}
        return (*arguments[:2], context, *arguments[3:]), keywords

    def detach(self) -> None:
        """The ControlNet reads the prompt again. May be called again."""
        self._hook.remove()

    def __enter__(self) -> ControlNetAttachment:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()


def attach_controlnet(
    target: Any, tokens: Tokens, *, controlnet: Optional[torch.nn.Module] = None, guidance: Guidance = None
) -> ControlNetAttachment:
    """Lets the ControlNet of a pipeline read an identity in place of the prompt from now on, as InstantID's does.

    `target` is a pipeline with a ControlNet, such as StableDiffusionXLControlNetPipeline, or a ControlNet itself.
    `tokens` are those of `Engine.context_tokens`: of the unconditional side and of the identity. `controlnet` is the
    one that is meant in a pipeline with several. `guidance` is as in `attach`. The pipeline's `guess_mode` must be off:
    it shows the ControlNet one side only and does not tell.
    """
    return ControlNetAttachment(target, tokens, controlnet, guidance)


def _torch(side: Tensor | torch.Tensor) -> torch.Tensor:
    if isinstance(side, torch.Tensor):
        return side.detach().float()
    return torch.from_numpy(np.array(side.numpy(), dtype=np.float32))
