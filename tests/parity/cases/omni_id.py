"""The native encoder, against an independent PyTorch implementation of its documented architecture."""

import json

import torch
from omni_id_reference import OmniIdReference

from .common import randomise, save, start

NAME = "omni_id"


def add_options(group):
    group.add_argument("--omni-id-queries", type=int, default=12)
    group.add_argument("--omni-id-width", type=int, default=32)
    group.add_argument("--omni-id-depth", type=int, default=2)
    group.add_argument("--omni-id-photos", type=int, default=3)


def generate(folder, options):
    first = {
        "queries": options.omni_id_queries,
        "width": options.omni_id_width,
        "depth": options.omni_id_depth,
        "heads": 2,
        "head_width": 24,
        "feed_forward_multiplier": 4,
        "feature_width": 40,
        "feature_tokens": 17,
        "token_width": 28,
        "key_position": True,
        "include_class_token": True,
    }
    second = first | {
        "queries": 7,
        "width": 36,
        "depth": 3,
        "heads": 3,
        "head_width": 8,
        "feed_forward_multiplier": 2,
        "token_width": 36,
        "key_position": False,
        "include_class_token": False,
    }
    third = second | {"key_position": True, "depth": 1}
    for case, config in {"positions": first, "plain": second, "patches_only": third}.items():
        start(NAME, case, options)
        model = randomise(OmniIdReference(**config))
        with torch.no_grad():
            model.queries.copy_(torch.randn_like(model.queries))
        photos = torch.randn(options.omni_id_photos, config["feature_tokens"], config["feature_width"])
        with torch.no_grad():
            tokens = model(list(photos))
            one = model([photos[0]])
        state = dict(model.state_dict())
        state["token_mean"] = torch.randn(config["queries"], config["token_width"])
        save(folder / case / "encoder.safetensors", state)
        (folder / case / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save(folder / case / "expected.safetensors", {"photos": photos, "tokens": tokens, "one_photo": one})
