#!/usr/bin/env python3
"""A training step of `mini` or `mini-flow` in PyTorch, beside that of OmniID.

Reads what `training --export` wrote: weights, one batch, loss and gradients. Computes the same loss from the same
numbers with PyTorch's own operations (scaled_dot_product_attention, channels-last convolutions, bf16 autocast, fused
AdamW), compares loss and gradients, and times whole steps of both in turns. See README.md in this folder.
"""

import argparse
import math
import os
import re
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

THREADS = int(os.environ.get("OMNIID_THREADS", "0")) or os.cpu_count()
HEADS = 4  # of the encoder and of the masked decoder, in both presets
HEAD_WIDTH = 32  # of the host
GROUPS = 32
PATCH = 8
BLOCK = 4


def attention(q, k, v, heads):
    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    return F.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).flatten(2)


class Network:
    """Named tensors, and the layers that look their own up."""

    def __init__(self, weights, trained):
        self.tensors = {
            name: torch.nn.Parameter(self.laid_out(tensor)) if name in trained else tensor
            for name, tensor in weights.items()
        }

    @staticmethod
    def laid_out(tensor):
        if tensor.dim() == 4 and tensor.shape[2] == 3:
            return tensor.clone(memory_format=torch.channels_last)
        return tensor.clone()

    def get(self, name):
        return self.tensors.get(name)

    def trained(self):
        return {name: x for name, x in self.tensors.items() if isinstance(x, torch.nn.Parameter)}

    def linear(self, x, name):
        weight = self.tensors[f"{name}.weight"]
        return F.linear(x, weight.flatten(1), self.get(f"{name}.bias"))

    def layer_norm(self, x, name):
        weight = self.tensors[f"{name}.weight"]
        return F.layer_norm(x, weight.shape, weight, self.tensors[f"{name}.bias"])

    def group_norm(self, x, name, epsilon=1e-5):
        return F.group_norm(x, GROUPS, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], epsilon)

    def convolution(self, x, name, stride=1):
        weight = self.tensors[f"{name}.weight"]
        return F.conv2d(x, weight, self.tensors[f"{name}.bias"], stride, padding=weight.shape[2] // 2)

    def count(self, pattern):
        found = [re.match(pattern, name) for name in self.tensors]
        return len({match[1] for match in found if match})

    # The encoder.

    def features(self, pixels):
        name = "backbone.vision_model"
        patches = F.pixel_unshuffle(pixels, PATCH).flatten(2).transpose(1, 2)
        patches = self.linear(patches, f"{name}.embeddings.patch_embedding")
        first = self.tensors[f"{name}.embeddings.class_embedding"].expand(len(pixels), 1, -1)
        x = torch.cat([first.to(patches.dtype), patches], 1)
        x = x + self.tensors[f"{name}.embeddings.position_embedding.weight"]
        x = self.layer_norm(x, f"{name}.pre_layrnorm")
        for i in range(self.count(name.replace(".", r"\.") + r"\.encoder\.layers\.(\d+)\.")):
            block = f"{name}.encoder.layers.{i}"
            n = self.layer_norm(x, f"{block}.layer_norm1")
            q, k, v = (self.linear(n, f"{block}.self_attn.{part}_proj") for part in "qkv")
            x = x + self.linear(attention(q, k, v, HEADS), f"{block}.self_attn.out_proj")
            inner = F.gelu(self.linear(self.layer_norm(x, f"{block}.layer_norm2"), f"{block}.mlp.fc1"))
            x = x + self.linear(inner, f"{block}.mlp.fc2")
        return x

    def tokens(self, photos):
        people, inputs = photos.shape[:2]
        z = self.features(photos.flatten(0, 1))
        position = self.get("encoder.key_position")
        z = z[:, z.shape[1] - len(position) :]  # with or without the class token
        z = z.reshape(people, -1, z.shape[-1])
        position = position.repeat(inputs, 1)
        x = self.tensors["encoder.queries"].expand(people, -1, -1)
        for i in range(self.count(r"encoder\.blocks\.(\d+)\.")):
            block = f"encoder.blocks.{i}"

            def attend(x, q, k, v, part):
                q, k, v = (self.linear(y, f"{block}.{part}.to_{to}") for y, to in ((q, "q"), (k, "k"), (v, "v")))
                return x + self.linear(attention(q, k, v, HEADS), f"{block}.{part}.to_out")

            values = self.layer_norm(z, f"{block}.cross_attention.norm_features")
            queries = self.layer_norm(x, f"{block}.cross_attention.norm_queries")
            x = attend(x, queries, values + position, values, "cross_attention")
            n = self.layer_norm(x, f"{block}.self_attention.norm")
            x = attend(x, n, n, n, "self_attention")
            inner = self.linear(self.layer_norm(x, f"{block}.feed_forward.norm"), f"{block}.feed_forward.up")
            x = x + self.linear(F.gelu(inner), f"{block}.feed_forward.down")
        x = self.layer_norm(x, "encoder.norm_out")
        return self.linear(x, "encoder.proj_out") if "encoder.proj_out.weight" in self.tensors else x

    # The masked decoder.

    def decode(self, tokens, batch):
        each = len(batch["places"]) // len(tokens)
        identity = self.linear(tokens, "decoder.token_projection") + self.tensors["decoder.token_kind"]
        patches = self.linear(batch["visible"], "decoder.patch_projection")
        local = [patches + batch["visible_places"] + self.tensors["decoder.patch_kind"]]
        condition = F.silu(self.linear(batch["condition"], "decoder.condition.up"))
        condition = self.linear(condition, "decoder.condition.down")
        local.append((condition + self.tensors["decoder.condition_kind"]).unsqueeze(1))
        local = torch.cat(local, 1)
        x = batch["places"] + self.tensors["decoder.hidden_patch"]
        for i in range(self.count(r"decoder\.blocks\.(\d+)\.")):
            block = f"decoder.blocks.{i}"
            context = [self.layer_norm(y, f"{block}.norm_context") for y in (identity, local)]

            def project(to):
                shared, own = (self.linear(y, f"{block}.{to}") for y in context)
                return torch.cat([shared.repeat_interleave(each, 0), own], 1)

            query = self.linear(self.layer_norm(x, f"{block}.norm_queries"), f"{block}.to_q")
            x = x + self.linear(attention(query, project("to_k"), project("to_v"), HEADS), f"{block}.to_out")
            inner = F.gelu(self.linear(self.layer_norm(x, f"{block}.norm_inner"), f"{block}.up"))
            x = x + self.linear(inner, f"{block}.down")
        return self.linear(self.layer_norm(x, "decoder.norm_out"), "decoder.out")

    def masked_loss(self, batch, _parts):
        tokens = self.tokens(batch["photos"])
        if "kept" in batch:
            tokens = torch.gather(tokens, 1, batch["kept"].unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
        difference = (self.decode(tokens, batch).float() - batch["values"]).abs()
        return (difference * batch["weights"]).sum() / batch["weights"].sum()

    # The host.

    def resnet(self, x, time_embedding, name):
        h = self.convolution(F.silu(self.group_norm(x, f"{name}.norm1")), f"{name}.conv1")
        h = h + self.linear(time_embedding, f"{name}.time_emb_proj")[:, :, None, None]
        h = self.convolution(F.silu(self.group_norm(h, f"{name}.norm2")), f"{name}.conv2")
        if f"{name}.conv_shortcut.weight" in self.tensors:
            x = self.convolution(x, f"{name}.conv_shortcut")
        return x + h

    def transformer(self, x, context, identity, place, name):
        height, width = x.shape[2:]
        tokens = self.group_norm(x, f"{name}.norm", 1e-6).permute(0, 2, 3, 1).flatten(1, 2)
        tokens = self.linear(tokens, f"{name}.proj_in")
        heads = tokens.shape[-1] // HEAD_WIDTH
        block = f"{name}.transformer_blocks.0"

        def projected(y, part):
            return [self.linear(y, f"{block}.{part}.to_{to}") for to in "kv"]

        n = self.layer_norm(tokens, f"{block}.norm1")
        attended = attention(self.linear(n, f"{block}.attn1.to_q"), *projected(n, "attn1"), heads)
        tokens = tokens + self.linear(attended, f"{block}.attn1.to_out.0")
        query = self.linear(self.layer_norm(tokens, f"{block}.norm2"), f"{block}.attn2.to_q")
        attended = attention(query, *projected(context, "attn2"), heads)
        keys, values = (self.linear(identity, f"adapter.layers.{place}.to_{to}") for to in "kv")
        people = len(identity)
        shared = attention(query.reshape(people, -1, query.shape[-1]), keys, values, heads)
        attended = attended + shared.reshape(attended.shape)
        tokens = tokens + self.linear(attended, f"{block}.attn2.to_out.0")
        value, gate = self.linear(self.layer_norm(tokens, f"{block}.norm3"), f"{block}.ff.net.0.proj").chunk(2, -1)
        tokens = tokens + self.linear(value * F.gelu(gate), f"{block}.ff.net.2")
        tokens = self.linear(tokens, f"{name}.proj_out")
        return x + tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2)

    def embedding(self, x, name):
        return self.linear(F.silu(self.linear(x, f"{name}.linear_1")), f"{name}.linear_2")

    def views(self, views, name, places):
        flat = self.linear(F.silu(self.linear(views, f"{name}.0")), f"{name}.2")
        return flat.unflatten(1, (places, -1))

    def unet(self, x, times, views, context, identity):
        half = self.tensors["host.conv_in.weight"].shape[0] // 2
        angles = 1000 * times[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
        embedding = self.embedding(torch.cat([angles.cos(), angles.sin()], 1), "host.time_embedding")
        embedding = F.silu(embedding + self.embedding(views, "host.class_embedding"))
        levels = self.count(r"host\.down_blocks\.(\d+)\.")
        # In the order of the adapter's layers: down, up, middle.
        found = [re.match(r"host\.((?:down|up)_blocks\.\d+\.attentions\.\d+)", name) for name in self.tensors]
        attending = sorted({match[1] for match in found if match}) + ["mid_block.attentions.0"]

        def block(x, name, i):
            x = self.resnet(x, embedding, f"host.{name}.resnets.{i}")
            layer = f"{name}.attentions.{i}"
            if layer in attending:
                x = self.transformer(x, context, identity, attending.index(layer), f"host.{layer}")
            return x

        x = self.convolution(x, "host.conv_in")
        skips = [x]
        for level in range(levels):
            name = f"down_blocks.{level}"
            for i in range(self.count(rf"host\.{name}\.resnets\.(\d+)\.")):
                x = block(x, name, i)
                skips.append(x)
            if f"host.{name}.downsamplers.0.conv.weight" in self.tensors:
                x = self.convolution(x, f"host.{name}.downsamplers.0.conv", 2)
                skips.append(x)
        x = block(x, "mid_block", 0)
        x = self.resnet(x, embedding, "host.mid_block.resnets.1")
        for level in range(levels):
            name = f"up_blocks.{level}"
            for i in range(self.count(rf"host\.{name}\.resnets\.(\d+)\.")):
                x = block(torch.cat([x, skips.pop()], 1), name, i)
            if f"host.{name}.upsamplers.0.conv.weight" in self.tensors:
                x = self.convolution(F.interpolate(x, scale_factor=2), f"host.{name}.upsamplers.0.conv")
        return self.convolution(F.silu(self.group_norm(x, "host.conv_norm_out")), "host.conv_out")

    def flow_loss(self, batch, parts):
        tokens = self.tokens(batch["photos"])
        kept = batch["kept"][:, None, None]
        means = tokens.detach().unflatten(0, (parts, -1)).mean(1, keepdim=True)
        means = means.expand(-1, len(tokens) // parts, -1, -1).flatten(0, 1)
        tokens = tokens * kept + means * (1 - kept)
        pictures, times = batch["pictures"], batch["times"]
        t = times[:, None, None, None]
        x = F.pixel_unshuffle(pictures, BLOCK)
        side = x.shape[-1]
        noise = batch["noise"].transpose(1, 2).unflatten(2, (side, side))
        mixed = x * t + noise * (1 - t)
        chart = self.views(batch["views"], "host.context.map", side * side).transpose(1, 2).unflatten(2, (side, side))
        context = self.views(batch["views"], "host.context", 4)
        mixed = torch.cat([mixed, chart], 1).contiguous(memory_format=torch.channels_last)
        identity = self.linear(F.gelu(self.linear(tokens, "adapter.proj.0")), "adapter.proj.2")
        identity = self.layer_norm(identity, "adapter.proj.3")
        clean = self.unet(mixed, times, batch["views"], context, identity)
        error = F.pixel_shuffle(clean.float() - x, BLOCK)
        weights = batch["weights"] * (1 / (1 - t).clamp(min=0.1) ** 2)
        total = 0
        for error, weights, pixels in zip(error.chunk(parts), weights.chunk(parts), batch["weights"].chunk(parts)):
            loss = (error.square() * weights).sum()
            for axis in (2, 3):
                length = error.shape[axis] - 1
                step = error.narrow(axis, 1, length) - error.narrow(axis, 0, length)
                loss = loss + 4 * (step.square() * weights.narrow(axis, 0, length)).sum()
            total = total + loss / (3 * pixels.sum())
        return total / parts


class Step:
    """One preset: its network, its batch, and what OmniID made of it."""

    def __init__(self, path):
        self.name = os.path.basename(path).removesuffix(".safetensors")
        tensors = load_file(path)

        def under(prefix):
            return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}

        self.gradients = {kind: under(f"gradient/{kind}/") for kind in ("f32", "bf16")}
        self.losses = {kind: tensors[f"loss/{kind}"].item() for kind in ("f32", "bf16")}
        self.network = Network(under("weight/"), self.gradients["f32"])
        numbers = {re.match(r"batch/(\d+)/", name)[1] for name in tensors if name.startswith("batch/")}
        parts = [under(f"batch/{part}/") for part in sorted(numbers, key=int)]
        self.parts = len(parts)
        self.batch = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        if "kept" in self.batch and self.batch["kept"].dim() == 2:
            # Places among the tokens of all people to places among those of the person.
            self.batch["kept"] = self.batch["kept"].long() % 32
        masked = "values" in self.batch
        self.loss = self.network.masked_loss if masked else self.network.flow_loss
        parameters = self.network.trained().values()
        self.parameters = list(parameters)
        groups = [
            {"params": [x for x in self.parameters if x.dim() >= 2], "weight_decay": 0.01},
            {"params": [x for x in self.parameters if x.dim() < 2], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=1e-5, fused=True)
        self.average = [x.detach().clone() for x in self.parameters]

    def forward_backward(self, bf16):
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = self.loss(self.batch, self.parts)
        loss.backward()
        return loss

    def step(self):
        self.forward_backward(True)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 0.002)

    def compare(self):
        """Whole gradient against PyTorch's in f32: |difference| / |gradient|, and the same in bf16 for both."""
        trained = self.network.trained()
        loss = self.forward_backward(False).item()
        exact = {name: x.grad.detach().clone() for name, x in trained.items()}
        torch_loss = self.forward_backward(True).item()
        rounded = {name: x.grad.detach().clone() for name, x in trained.items()}

        def distance(found):
            assert found.keys() == exact.keys(), found.keys() ^ exact.keys()
            far = sum((found[name].double() - x.double()).square().sum() for name, x in exact.items())
            return (far / sum(x.double().square().sum() for x in exact.values())).sqrt().item()

        count = sum(x.numel() for x in trained.values())
        ours = distance(self.gradients["f32"])
        print(f"{self.name}: {count} trained numbers in {len(trained)} tensors")
        print(f"  loss: PyTorch f32 {loss:.7f}, OmniID f32 {self.losses['f32']:.7f}, "
              f"PyTorch bf16 {torch_loss:.7f}, OmniID bf16 {self.losses['bf16']:.7f}")
        print(f"  gradient against PyTorch f32: OmniID f32 {ours:.1e}, "
              f"OmniID bf16 {distance(self.gradients['bf16']):.1e}, PyTorch bf16 {distance(rounded):.1e}")
        if ours > 1e-4 or abs(loss - self.losses["f32"]) > 1e-4 * abs(loss):
            raise SystemExit(f"{self.name}: the two steps are not the same")


def timed(step, count):
    step.step()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        step.step()
        times.append(time.perf_counter() - start)
    return times


def ours(binary, name, count):
    out = subprocess.run([binary, name, "--steps", str(count)], check=True, capture_output=True, text=True).stdout
    fastest, median = re.search(r"fastest ([\d.]+) s, median ([\d.]+) s", out).groups()
    return float(fastest), float(median)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", help="what `training --export` wrote")
    parser.add_argument("--binary", help="the benchmark `training`: times both in turns")
    parser.add_argument("--only", help="mini or mini-flow")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="steps of each side in a round")
    parser.add_argument("--no-compare", action="store_true", help="skip loss and gradients")
    asked = parser.parse_args()
    torch.set_num_threads(THREADS)
    for name in ("mini", "mini-flow"):
        if asked.only not in (None, name):
            continue
        step = Step(os.path.join(asked.folder, f"{name}.safetensors"))
        if not asked.no_compare:
            step.compare()
        if not asked.binary:
            continue
        ratios, us, them = [], [], []
        for _ in range(asked.rounds):
            _, median = ours(asked.binary, name, asked.steps)
            theirs = statistics.median(timed(step, asked.steps))
            us.append(median)
            them.append(theirs)
            ratios.append(theirs / median)
        print(f"  {name}, {THREADS} threads: OmniID {statistics.median(us):.3f} s ({min(us):.3f} to {max(us):.3f}), "
              f"PyTorch {statistics.median(them):.3f} s ({min(them):.3f} to {max(them):.3f}); "
              f"OmniID is {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})",
              flush=True)


if __name__ == "__main__":
    main()
