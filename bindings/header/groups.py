"""The constants of the header that belong together: the enums of every language, under one name."""

from __future__ import annotations

from dataclasses import dataclass

from c_header import Constant, Header, Unexpected

PREFIX = "OMNIID_"


@dataclass(frozen=True)
class Group:
    """The constants with a common prefix, and what a language calls the enum that they make up."""

    prefix: str
    """What stands between `OMNIID_` and the name of a member, with the underscore after it."""
    name: str
    doc: str

    def members(self, header: Header) -> list[tuple[str, Constant]]:
        """The constants with the names that they have inside the enum, such as `NO_FACE`."""
        found = [item for item in header.constants if self.holds(item)]
        if not found:
            raise Unexpected(f"there are no constants {PREFIX}{self.prefix}...; bindings/header/groups.py has them")
        return [(item.name.removeprefix(PREFIX + self.prefix), item) for item in found]

    def holds(self, item: Constant) -> bool:
        """Whether a constant belongs to the group."""
        return item.name.startswith(PREFIX + self.prefix)


GROUPS = [
    Group("STATUS_", "Status", "The result of a call: success or the class of the error."),
    Group("LOG_LEVEL_", "LogLevel", "How serious a log message is."),
    Group("STAGE_", "Stage", "What a long call is doing."),
    Group("DEVICE_TYPE_", "DeviceType", "Where memory is."),
    Group("TYPE_CODE_", "TypeCode", "The class of a tensor's numbers."),
    Group("PRECISION_", "Precision", "The number type of weights, of keys and values, or of an identity file."),
    Group("ENCODER_", "EncoderKind", "The kind of identity encoder."),
    Group("PIXEL_TYPE_", "PixelType", "The number type of a colour channel."),
    Group("CHANNEL_ORDER_", "ChannelOrder", "The order of the colour channels in memory."),
    Group("FACE_HINT_", "FaceHint", "Which face of a photo is meant."),
    Group("CROP_", "Crop", "How photos are cropped."),
    Group("BAD_PHOTO_", "BadPhoto", "What to do with a photo that cannot be used."),
    Group("STRANGERS_", "Strangers", "What to do with photos that look like somebody else than the others."),
    Group("COMBINE_", "Combine", "How several photos are combined before the identity encoder."),
    Group("EMBEDDING_FORM_", "EmbeddingForm", "Whether a face embedding still has its length."),
    Group("LORA_FORMAT_", "LoraFormat", "The names in a LoRA file."),
    Group("WEIGHT_TYPE_", "WeightType", "How an identity's weight is spread over the layers of the host."),
    Group("STEP_RANGE_", "StepUnit", "What limits the steps at which an identity is injected."),
    Group("UNCONDITIONAL_", "Unconditional", "What unconditional rows see instead of the identity."),
    Group("EMBEDS_SCALING_", "EmbedsScaling", "How the weight acts on keys and values."),
    Group("MASK_MODE_", "MaskMode", "Whose rules for placing masks are followed."),
    Group("INJECTION_", "Injection", "How an identity's attention joins the layer's output."),
    Group("ROLE_", "Role", "The side of guidance that a batch row belongs to."),
    Group("LAYOUT_", "Layout", "The order of the dimensions of query and output."),
    Group("GRAPH_FORM_", "GraphForm", "What a graph takes."),
    Group("GRAPH_INPUT_", "GraphInputKind", "What an input of a graph carries."),
    Group("INJECT_FLAG_", "InjectFlag", "Flags of an injection, to be added up."),
]

VERSIONS = ["OMNIID_ABI_MAJOR", "OMNIID_ABI_MINOR", "OMNIID_ABI_VERSION", "OMNIID_VERSION"]
"""The constants that are in no group."""


def check(header: Header) -> None:
    """Raises Unexpected for a constant that belongs to no group or to two of them."""
    for item in header.constants:
        groups = [group for group in GROUPS if group.holds(item)]
        if len(groups) != (0 if item.name in VERSIONS else 1):
            raise Unexpected(f"{item.name} belongs to {len(groups)} groups; bindings/header/groups.py has them")
