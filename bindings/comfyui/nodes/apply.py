"""Person, Apply Identity, Apply People and Apply Options."""

from __future__ import annotations

from typing import Any

from omniid import Engine, Identity

from ..people import (
    EMBEDS_SCALING,
    INJECT,
    IPADAPTER_PLUS,
    METHODS,
    NEUTRAL,
    OWN_RULES,
    SKIP,
    UNCONDITIONAL,
    WEIGHT_TYPES,
    Options,
    Person,
    apply,
    parse_layer_weights,
)


def _weight() -> Any:
    return (
        "FLOAT",
        {
            "default": 1.0,
            "min": -1.0,
            "max": 5.0,
            "step": 0.05,
            "tooltip": "Weight of the identity; 0 leaves it out. From Weight Schedule, a weight for each picture of "
            "the batch.",
        },
    )


def _share(default: float, tooltip: str) -> Any:
    return ("FLOAT", {"default": default, "min": 0.0, "max": 1.0, "step": 0.001, "tooltip": tooltip})


def _weight_type() -> Any:
    tooltip = "How the weight is spread over the layers. The types from style transfer on are for SD1.5 and SDXL."
    return (WEIGHT_TYPES, {"default": "linear", "tooltip": tooltip})


def steps() -> dict[str, Any]:
    """The inputs of a range of steps."""
    return {
        "start_at": _share(0.0, "Share of sampling at which injection starts."),
        "end_at": _share(1.0, "Share of sampling at which injection ends."),
    }


def _more() -> dict[str, Any]:
    return {
        "mask": (
            "MASK",
            {"tooltip": "Where in the picture; without a mask, everywhere. A batch is a mask for each picture."},
        ),
        "negative": ("OMNIID_IDENTITY", {"tooltip": "An identity for the side of the negative prompt."}),
        "composition": (
            "OMNIID_IDENTITY",
            {"tooltip": "A second identity for the composition layers of the weight types style and composition."},
        ),
        "unconditional": (
            UNCONDITIONAL,
            {
                "default": "default",
                "tooltip": "What the side of the negative prompt sees if there is no negative identity; default: what "
                "the checkpoint's own code does. IPAdapter_plus takes a black image.",
                "advanced": True,
            },
        ),
    }


def _model() -> dict[str, Any]:
    return {
        "model": ("MODEL", {"tooltip": "A UNet of SD1.5 or SDXL, FLUX.1 or SD3.5 Large."}),
        "omniid": ("OMNIID_MODEL", {"tooltip": "The identity model."}),
    }


_OPTIONS = ("OMNIID_OPTIONS", {"tooltip": "From Apply Options."})


class PersonNode:
    """One of several people."""

    DESCRIPTION = (
        "One of several people for Apply People, with weight, mask and range of steps. Chain them by `people`."
    )
    CATEGORY = "OmniID"
    SEARCH_ALIASES = ["ipadapter", "ip-adapter", "regional", "several people"]
    FUNCTION = "add"
    RETURN_TYPES = ("OMNIID_PEOPLE",)
    RETURN_NAMES = ("people",)
    OUTPUT_TOOLTIPS = ("The previous people, and this one.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "identity": ("OMNIID_IDENTITY", {"tooltip": "The identity."}),
                "weight": _weight(),
                **steps(),
            },
            "optional": {"people": ("OMNIID_PEOPLE", {"tooltip": "The previous people."}), **_more()},
        }

    def add(self, identity: Identity, people: tuple[Person, ...] = (), **settings: Any) -> Any:
        return ((*people, Person(identity, **settings)),)


class _Apply:
    """What both Apply nodes have in common."""

    CATEGORY = "OmniID"
    SEARCH_ALIASES = ["ipadapter", "ip-adapter", "face", "reference"]
    FUNCTION = "apply"
    RETURN_TYPES = ("MODEL",)
    OUTPUT_TOOLTIPS = ("The model with the people in it.",)


class ApplyIdentity(_Apply):
    """One person into a model."""

    DESCRIPTION = (
        "Puts one person into a model. More nodes of this kind and IPAdapter nodes may come before or after: they "
        "add up."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        identity = {"identity": ("OMNIID_IDENTITY", {"tooltip": "The identity."})}
        return {
            "required": {**_model(), **identity, "weight": _weight(), "weight_type": _weight_type(), **steps()},
            "optional": {**_more(), "options": _OPTIONS},
        }

    def apply(
        self,
        model: Any,
        omniid: Engine,
        identity: Identity,
        weight_type: str,
        options: Options = Options(),
        **settings: Any,
    ) -> tuple[Any]:
        return (apply(model, omniid, [Person(identity, **settings)], weight_type, options),)


class ApplyPeople(_Apply):
    """Several people into a model."""

    DESCRIPTION = "Puts several people into a model at once, each with its own weight, mask and range of steps."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        everyone = {"people": ("OMNIID_PEOPLE", {"tooltip": "From Person."})}
        return {"required": {**_model(), **everyone, "weight_type": _weight_type()}, "optional": {"options": _OPTIONS}}

    def apply(
        self,
        model: Any,
        omniid: Engine,
        people: tuple[Person, ...],
        weight_type: str,
        options: Options = Options(),
    ) -> tuple[Any]:
        return (apply(model, omniid, people, weight_type, options),)


class ApplyOptions:
    """Options that few workflows change."""

    DESCRIPTION = (
        "Options of Apply Identity and Apply People that few workflows change. With its defaults it changes nothing."
    )
    SEARCH_ALIASES = ["ipadapter", "embeds scaling", "style transfer"]
    CATEGORY = "OmniID"
    FUNCTION = "options"
    RETURN_TYPES = ("OMNIID_OPTIONS",)
    RETURN_NAMES = ("options",)
    OUTPUT_TOOLTIPS = ("For Apply Identity and Apply People.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        def boost(what: str) -> Any:
            return ("FLOAT", {"default": 1.0, "min": -5.0, "max": 5.0, "step": 0.05, "tooltip": what})

        return {
            "required": {
                "embeds_scaling": (
                    list(EMBEDS_SCALING),
                    {
                        "default": "V only",
                        "tooltip": "Whether the weight acts on the attention's output, or on keys too.",
                    },
                ),
                "composition_weight": boost(
                    "Weight of the composition layers of the weight types style and composition, times the person's "
                    "weight."
                ),
                "style_boost": boost(
                    "Weight of the swapped layers of style transfer precise, times the person's weight."
                ),
                "composition_boost": boost(
                    "Weight of the swapped layers of composition precise, times the person's weight."
                ),
                "layer_weights": (
                    "STRING",
                    {
                        "default": "",
                        "multiline": True,
                        "tooltip": "A factor for each transformer in execution order, such as 0:1, 3:0.5; the others "
                        "get 0. Empty: 1 for all. SD1.5 has 16, SDXL has 11, FLUX and SD3.5 one for each layer of "
                        "the adapter.",
                    },
                ),
                "middle_block": (
                    [INJECT, SKIP],
                    {
                        "default": INJECT,
                        "tooltip": "IPAdapter_plus leaves out the middle block by mistake. Skip it to compare "
                        "pictures.",
                    },
                ),
                "precision": (
                    ["f32", "f16", "bf16"],
                    {"default": "f32", "tooltip": "Number type in which keys and values are kept."},
                ),
                "rules": (
                    [OWN_RULES, IPADAPTER_PLUS],
                    {
                        "default": OWN_RULES,
                        "tooltip": "like IPAdapter_plus: the middle block is left out, and where unconditional is "
                        "default the side of the negative prompt sees a black image. The pictures are then those of "
                        "IPAdapter_plus.",
                    },
                ),
            },
            "optional": {
                "method": (
                    METHODS,
                    {
                        "default": NEUTRAL,
                        "tooltip": "PuLID's ways of joining the identity with the picture. fidelity: most like the "
                        "person; style: most like the picture without the person; neutral: added as it is.",
                    },
                ),
                "lora_strength": (
                    "FLOAT",
                    {
                        "default": 1.0,
                        "min": 0.0,
                        "max": 2.0,
                        "step": 0.05,
                        "tooltip": "Strength of the LoRA that belongs to a FaceID model; 0 leaves it out, for a model "
                        "that has it.",
                    },
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, layer_weights: str = "") -> bool | str:
        try:
            parse_layer_weights(layer_weights or "")
        except ValueError as error:
            return str(error)
        return True

    def options(self, layer_weights: str, **settings: Any) -> tuple[Options]:
        return (Options(layer_weights=parse_layer_weights(layer_weights), **settings),)
