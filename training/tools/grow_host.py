#!/usr/bin/env python3
"""Puts a plain finest level of 64 channels around a minihost of two levels in blocks of 8 pixels.

    grow_host.py MODEL HOST PEOPLE OUT

MODEL and HOST are the native checkpoint and the host of a run in blocks of 8 (channels 160 and 224, a map of 16
channels), PEOPLE is a training set that `omniid render --dataset` wrote. OUT is for `omniid train --start` with a host
in blocks of 4: channels = [64, 160, 224], plain_levels = 1, time_width = 640. The last flow run of the built-in weights
was started with it.

Blocks and middle move in by one level as they are. What fed them before, a convolution of blocks of 8, is replaced by
the nearest linear map that passes through the 64 new channels, fitted on noisy pictures of PEOPLE. The new level's own
layers are missing in OUT and start as they do in a new run. Needs numpy and safetensors.
"""

import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

FINEST = 64  # channels of the new level
PICTURE = 48  # numbers of a picture's block of 4
MAP = 16  # channels of the map
PICTURES = 400  # pictures that the fits see
GROUPS = 32  # of the group normalisations


def waves(times, width):
    """diffusers' time embedding, cosines first."""
    half = width // 2
    angles = times[:, None] * np.exp(-np.log(1e4) * np.arange(half) / half)
    return np.concatenate([np.cos(angles), np.sin(angles)], 1)


def silu(x):
    return x / (1 + np.exp(-x))


def group_norm(x, weight, bias):
    """x [pictures · 64 places, channels], a picture's places one after the other."""
    grouped = x.reshape(PICTURES, 64, GROUPS, -1)
    grouped = grouped - grouped.mean((1, 3), keepdims=True)
    grouped = grouped / np.sqrt((grouped**2).mean((1, 3), keepdims=True) + 1e-5)
    return grouped.reshape(x.shape) * weight + bias


def main():
    model, host, people, out = sys.argv[1:]
    rng = np.random.default_rng(3)
    old = {name: value.astype(np.float64) for name, value in load_file(host).items()}
    new = {}
    for name, value in old.items():
        parts = name.split(".")
        if parts[0] == "down_blocks":
            new[".".join([parts[0], str(int(parts[1]) + 1)] + parts[2:])] = value
        elif parts[0] not in ("conv_in", "conv_out", "conv_norm_out"):
            new[name] = value

    # The time embedding starts from fewer waves.
    times = 1 / (1 + np.exp(0.8 - 1.3 * rng.standard_normal(6000)))
    times = 1000 * np.concatenate([times, np.linspace(0, 1, 400), np.zeros(50)])
    wanted = waves(times, 160) @ old["time_embedding.linear_1.weight"].T + old["time_embedding.linear_1.bias"]
    given = np.concatenate([waves(times, FINEST), np.ones((len(times), 1))], 1)
    ridge = 1e-6 * len(times) * np.eye(given.shape[1])
    fit = np.linalg.solve(given.T @ given + ridge, given.T @ wanted)
    new["time_embedding.linear_1.weight"], new["time_embedding.linear_1.bias"] = fit[:-1].T, fit[-1]

    # Every place of the map becomes four.
    for kind in ("weight", "bias"):
        value = old[f"context.map.2.{kind}"]
        places = value.reshape((8, 8, MAP) + value.shape[1:]).repeat(2, 0).repeat(2, 1)
        new[f"context.map.2.{kind}"] = places.reshape((16 * 16 * MAP,) + value.shape[1:])

    # Noisy pictures in blocks of 8, and what the old first convolution made of them.
    with safe_open(people, "np") as file:
        pixels = file.get_slice("pixels")
        chosen = rng.choice(pixels.get_shape()[0], PICTURES, replace=False)
        pictures = np.stack([pixels[int(i)] for i in chosen]).reshape(PICTURES, 64, 64, 3)
    x = pictures.transpose(0, 3, 1, 2) / 127.5 - 1
    t = 1 / (1 + np.exp(0.8 - rng.standard_normal(PICTURES)))[:, None, None, None]
    x = t * x + (1 - t) * rng.standard_normal(x.shape)
    blocks = x.reshape(PICTURES, 3, 8, 8, 8, 8).transpose(0, 2, 4, 1, 3, 5).reshape(PICTURES, 8, 8, 192)
    kernel = old["conv_in.weight"]
    padded = np.pad(blocks, ((0, 0), (1, 1), (1, 1), (0, 0)))
    features = np.zeros((PICTURES, 8, 8, 160)) + old["conv_in.bias"]
    for row in range(3):
        for column in range(3):
            features += padded[:, row : row + 8, column : column + 8] @ kernel[:, :192, row, column].T
    features, blocks = features.reshape(-1, 160), blocks.reshape(-1, 192)
    mean = features.mean(0)

    # The 48 directions of a block that say most about the features: reduced-rank regression.
    values, vectors = np.linalg.eigh(blocks.T @ blocks / len(blocks))
    root, inverse = (vectors * values**power @ vectors.T for power in (0.5, -0.5))
    regression = np.linalg.lstsq(blocks, features - mean, rcond=None)[0].T
    left, strengths, right = np.linalg.svd(regression @ root)
    directions = right[:PICTURE] @ inverse
    of_map = kernel[:, 192:].sum((2, 3))
    back = np.concatenate([left[:, :PICTURE] * strengths[:PICTURE], of_map], 1)

    # The first convolution hands pixels and map on; the halving one gathers the four blocks of 4 in a block of 8.
    first = np.zeros((FINEST, PICTURE + MAP, 3, 3))
    first[np.arange(FINEST), np.arange(FINEST), 1, 1] = 1
    halving = np.zeros((FINEST, FINEST, 3, 3))
    place = np.arange(192)
    channel, row, column = place // 64, place // 8 % 8, place % 8
    inside = channel * 16 + row % 4 * 4 + column % 4
    halving[:PICTURE, inside, 1 + row // 4, 1 + column // 4] = directions
    for i in range(PICTURE, FINEST):
        halving[i, i, 1:, 1:] = 0.25
    for name, value in (("conv_in", first), ("down_blocks.0.downsamplers.0.conv", halving)):
        new[f"{name}.weight"], new[f"{name}.bias"] = value, np.zeros(FINEST)

    # The two blocks that read the features now read the 64 channels.
    gathered = np.concatenate([blocks @ directions.T, 0.5 * rng.standard_normal((len(blocks), MAP))], 1)
    features = features + gathered[:, PICTURE:] @ of_map.T
    activated = np.concatenate([silu(group_norm(gathered, 1, 0)), np.ones((len(gathered), 1))], 1)

    def read(source, name, kept):
        """The block `source` under `name`, whose channels from `kept` on were features."""
        norm = [old[f"{source}.norm1.{kind}"][kept:] for kind in ("weight", "bias")]
        fit = np.linalg.lstsq(activated, silu(group_norm(features, *norm)), rcond=None)[0]
        kernel = old[f"{source}.conv1.weight"]
        fitted = np.einsum("oikl,ij->ojkl", kernel[:, kept:], fit[:-1].T)
        new[f"{name}.conv1.weight"] = np.concatenate([kernel[:, :kept], fitted], 1)
        new[f"{name}.conv1.bias"] = old[f"{source}.conv1.bias"] + np.einsum("oikl,i->o", kernel[:, kept:], fit[-1])
        for kind, value in (("weight", 1), ("bias", 0)):
            kept_norm = old[f"{source}.norm1.{kind}"][:kept]
            new[f"{name}.norm1.{kind}"] = np.concatenate([kept_norm, np.full(FINEST, value)])

    name = "down_blocks.1.resnets.0"
    read("down_blocks.0.resnets.0", name, 0)
    new[f"{name}.conv_shortcut.weight"], new[f"{name}.conv_shortcut.bias"] = back[:, :, None, None], mean
    name = "up_blocks.1.resnets.1"
    read(name, name, 160)
    shortcut = old[f"{name}.conv_shortcut.weight"][:, :, 0, 0]
    shortcut, bias = (
        np.concatenate([shortcut[:, :160], shortcut[:, 160:] @ back], 1),
        old[f"{name}.conv_shortcut.bias"] + shortcut[:, 160:] @ mean,
    )
    new[f"{name}.conv_shortcut.weight"], new[f"{name}.conv_shortcut.bias"] = shortcut[:, :, None, None], bias
    enlarging = 0.02 * rng.standard_normal((160, 160, 3, 3))
    enlarging[np.arange(160), np.arange(160), 1, 1] += 1
    name = "up_blocks.1.upsamplers.0.conv"
    new[f"{name}.weight"], new[f"{name}.bias"] = enlarging, np.zeros(160)

    tensors = {f"host.{name}": value for name, value in new.items()}
    for name, value in load_file(model).items():
        if not name.startswith("detector.") and name != "encoder.token_mean":
            tensors[name] = value
    save_file({name: np.ascontiguousarray(value, dtype=np.float32) for name, value in tensors.items()}, out)


if __name__ == "__main__":
    main()
