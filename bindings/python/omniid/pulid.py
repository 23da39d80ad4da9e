"""PuLID's published combinations of zero tokens and injection."""

from __future__ import annotations

from typing import TypedDict

from .enums import Injection


class PulidOptions(TypedDict):
    """Options of Engine.condition."""

    zero_tokens: int
    """Number of further tokens with zero keys and values in each softmax."""
    injection: Injection
    """How an identity's attention joins the layer's output."""


_MODES = {
    "fidelity": PulidOptions(zero_tokens=8, injection=Injection.ORTHOGONAL_V2),
    "style": PulidOptions(zero_tokens=16, injection=Injection.ORTHOGONAL),
    "neutral": PulidOptions(zero_tokens=0, injection=Injection.ADD),
}


def pulid(mode: str = "fidelity") -> PulidOptions:
    """Options of Engine.condition as PuLID sets them: `engine.condition(person, **omniid.pulid("fidelity"))`.

    `mode` is "fidelity" (most like the person), "style" (most like the picture without the identity) or "neutral".
    PuLID's own weight is 0.8.
    """
    try:
        return _MODES[mode].copy()
    except KeyError:
        known = ", ".join(repr(name) for name in _MODES)
        raise ValueError(f"mode: {mode!r}, expected one of {known}") from None
