"""Watch Attention and Preview Attention."""

from __future__ import annotations

from typing import Any

from omniid import InvalidArgumentError

from ..watch import KEY, Watch, picture


class WatchAttention:
    """A model that records where its identities act."""

    DESCRIPTION = (
        "Makes a model record where in the picture its identities act; for Preview Attention. Put it directly before "
        "the sampler. Sampling becomes slower."
    )
    CATEGORY = "OmniID"
    FUNCTION = "watch"
    RETURN_TYPES = ("MODEL", "OMNIID_WATCH")
    RETURN_NAMES = ("model", "watch")
    OUTPUT_TOOLTIPS = ("The model, for the sampler.", "For Preview Attention.")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"model": ("MODEL", {"tooltip": "From Apply Identity or Apply People."})}}

    def watch(self, model: Any) -> tuple[Any, Watch]:
        watched, watch = model.clone(), Watch()
        watched.model_options["transformer_options"][KEY] = watch
        return watched, watch


class PreviewAttention:
    """Where in the picture each identity acts."""

    DESCRIPTION = (
        "Draws where in the picture each identity acted: the length of what it added to the output of the attention "
        "layers, relative to the length of that output, on the conditional side, averaged over layers and steps. One "
        "picture per identity."
    )
    CATEGORY = "OmniID"
    FUNCTION = "preview"
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("maps", "shares")
    OUTPUT_TOOLTIPS = (
        "Black where an identity did nothing, through red and yellow to white where one did most.",
        "The mean and the largest share of each identity.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "watch": ("OMNIID_WATCH", {"tooltip": "From Watch Attention."}),
                "samples": ("LATENT", {"tooltip": "From the sampler, so that this node runs after it."}),
                "scale": ("INT", {"default": 8, "min": 1, "max": 16, "tooltip": "Pixels for each latent pixel."}),
            }
        }

    def preview(self, watch: Watch, samples: Any, scale: int) -> dict[str, Any]:
        maps = watch.maps()
        if not maps:
            raise InvalidArgumentError(
                "no identity has acted: the sampler must get its model from Watch Attention, and Watch Attention from "
                "Apply Identity"
            )
        lines = [f"identity {i}: mean {float(m.mean()):.4f}, largest {float(m.max()):.4f}" for i, m in enumerate(maps)]
        text = "\n".join(lines)
        return {"ui": {"text": [text]}, "result": (picture(maps, scale), text)}
