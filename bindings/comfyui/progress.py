"""Long calls in ComfyUI: its progress bar moves, and its Cancel button works."""

from __future__ import annotations

from typing import Callable

from comfy import model_management, utils
from omniid import Stage


def reporter() -> Callable[[Stage, int, int], None]:
    """The progress function for a call of OmniID. A cancelled prompt makes the call raise ComfyUI's own exception."""
    bars: dict[Stage, utils.ProgressBar] = {}

    def report(stage: Stage, done: int, total: int) -> None:
        model_management.throw_exception_if_processing_interrupted()
        if stage not in bars:
            bars[stage] = utils.ProgressBar(total)
        bars[stage].update_absolute(done, total)

    return report
