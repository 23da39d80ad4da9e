"""Long calls in ComfyUI: its progress bar moves, and its Cancel button is heard."""

from __future__ import annotations

from typing import Callable

from comfy import model_management, utils
from omniid import Stage


def reporter() -> Callable[[Stage, int, int], None]:
    """What a call of OmniID reports to. ComfyUI's own exception for a cancelled prompt comes out of the call."""
    bars: dict[Stage, utils.ProgressBar] = {}

    def report(stage: Stage, done: int, total: int) -> None:
        model_management.throw_exception_if_processing_interrupted()
        if stage not in bars:
            bars[stage] = utils.ProgressBar(total)
        bars[stage].update_absolute(done, total)

    return report
