"""Decoupled cross-attention in plain operators and double precision, from the numbers in the checkpoint: an
implementation of its own of what the nodes are to compute."""

from __future__ import annotations

import json
import struct

import hook_contract
import numpy as np
import torch


def read_tensors(path):
    """The tensors of a float32 safetensors file."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        numbers = np.frombuffer(data[8 + size + first : 8 + size + last], dtype=np.float32)
        tensors[name] = torch.from_numpy(numbers.astype(np.float64)).reshape(entry["shape"])
    return tensors


def read_file(path):
    """The same in float32, as ComfyUI loads a file."""
    return {name: tensor.float() for name, tensor in read_tensors(path).items()}


def context_tokens(tensors, tokens):
    """Identity tokens `[tokens, width]` through the adapter: Linear, GELU, Linear, LayerNorm. Adapters of published
    kinds have none of this."""
    if "adapter.proj.0.weight" not in tensors:
        return tokens.double()
    x = tokens.double() @ tensors["adapter.proj.0.weight"].T + tensors["adapter.proj.0.bias"]
    x = x * 0.5 * (1 + torch.erf(x / 2**0.5))
    x = x @ tensors["adapter.proj.2.weight"].T + tensors["adapter.proj.2.bias"]
    x = x - x.mean(dim=1, keepdim=True)
    x = x / (x.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
    return x * tensors["adapter.proj.3.weight"] + tensors["adapter.proj.3.bias"]


def attention(query, tokens, key_weight, value_weight, heads):
    """`[rows, width]`: softmax(q Kt / sqrt(d)) V for each head, written out."""
    outputs = []
    width = query.shape[1] // heads
    keys, values = tokens @ key_weight.T, tokens @ value_weight.T
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = query[:, part].double() @ keys[:, part].T / width**0.5
        weights = torch.exp(scores - scores.max(dim=1, keepdim=True).values)
        outputs.append(weights / weights.sum(dim=1, keepdim=True) @ values[:, part])
    return torch.cat(outputs, dim=1)


class Reference:
    """A UNet with identities put into its attention modules themselves. No hooks of any host.

    `weight(block, number, index, transformer, person, chunk)` is the factor of a person in a layer on a side; `mask` of
    a person is `[height, width]` at the latent's size, for layers of that size only.
    """

    def __init__(self, unet, path, layers, people, weight, masks=None):
        self.unet, self.layers, self.weight, self.masks = unet, layers, weight, masks
        self.tensors = read_tensors(path)
        self.tokens = [
            {chunk: None if one is None else context_tokens(self.tensors, one) for chunk, one in person.items()}
            for person in people
        ]
        self.fired = []

    def run(self, x, sigma, texts, chunks):
        """One pass, chunk by chunk: each by itself, so that their order cannot matter."""
        model = hook_contract.patcher(self.unet)
        results = []
        for chunk in chunks:
            undo = [self._put(number, address, attn, chunk) for number, (address, attn) in enumerate(self.layers)]
            try:
                results.append(hook_contract.run_chunks(model, x, sigma, texts, [chunk])[0])
            finally:
                for attn in undo:
                    del attn.forward
        return results

    def _put(self, number, address, attn, chunk):
        key, value = (self.tensors[f"adapter.layers.{number}.to_{side}.weight"] for side in "kv")

        def forward(x, context, transformer_options):
            q, k, v = attn.to_q(x), attn.to_k(context), attn.to_v(context)
            out = hook_contract.optimized_attention(q, k, v, attn.heads)
            self.fired.append(address)
            for person, sides in enumerate(self.tokens):
                tokens, factor = sides[chunk], self.weight(*address, person, chunk)
                if tokens is None or factor == 0:
                    continue
                for row in range(x.shape[0]):
                    found = self.joined(q[row], out[row], tokens, key, value, attn.heads) * factor
                    if self.masks is not None:
                        found = found * self.masks[person].reshape(-1, 1)
                    out[row] += found.float()
            return attn.to_out(out)

        attn.forward = forward
        return attn

    def joined(self, query, output, tokens, key, value, heads):
        """What a person of weight 1 adds to the output of a layer, `[rows, width]`."""
        return attention(query, tokens, key, value, heads)
