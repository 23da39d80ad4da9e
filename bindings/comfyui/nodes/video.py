"""Weight Schedule: weights for each picture of a batch."""

from __future__ import annotations

from typing import Any

from ..frames import weight_schedule


class WeightSchedule:
    """Weights for each picture of a batch."""

    DESCRIPTION = (
        "A weight for each picture of a batch, from key frames: for AnimateDiff and other videos. Connect it to the "
        "weight of Apply Identity or Person."
    )
    CATEGORY = "OmniID"
    SEARCH_ALIASES = ["ipadapter weights", "animatediff", "keyframes", "cross fade"]
    FUNCTION = "schedule"
    RETURN_TYPES = ("FLOAT", "FLOAT", "INT")
    RETURN_NAMES = ("weights", "inverse", "pictures")
    OUTPUT_TOOLTIPS = (
        "A weight for each picture.",
        "1 minus the weights, for the person that the first one fades into.",
        "How many there are.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "key_frames": (
                    "STRING",
                    {
                        "default": "0:1, 8:0",
                        "multiline": True,
                        "tooltip": "Number of a picture, from 0, and its weight, such as 0:1, 8:0.",
                    },
                ),
                "pictures": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": 100000,
                        "tooltip": "How many weights; 0: up to the last key frame. The last weight serves for all "
                        "later pictures.",
                    },
                ),
                "between": (
                    ["linear", "smooth", "hold"],
                    {"default": "linear", "tooltip": "How weights go from one key frame to the next."},
                ),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, key_frames: str = "0:1") -> bool | str:
        try:
            weight_schedule(key_frames, 1, "linear")
        except ValueError as error:
            return str(error)
        return True

    def schedule(self, key_frames: str, pictures: int, between: str) -> tuple[list[float], list[float], int]:
        weights = weight_schedule(key_frames, pictures, between)
        return weights, [1 - weight for weight in weights], len(weights)
