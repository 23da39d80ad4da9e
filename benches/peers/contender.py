"""One contender of the comparison: prepares, says "ready", then computes one round per line it is sent.

Each answer is one JSON line: {"seconds": …, …}. Run by compare.py, never by hand.
"""

import argparse
import json
import resource
import sys
import time


def serve(prepare):
    """Runs `round_` once per line of standard input."""
    round_, facts = prepare()
    round_()  # warm-up: allocations, thread pools, kernels chosen at first use
    print(json.dumps({"ready": True, **facts}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        round_()
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "peak_bytes": peak}), flush=True)


def torch_encode(options):
    import torch
    from weights import load_torch_model, load_pixels

    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype)
    model = load_torch_model(options.weights, dtype)
    pixels = load_pixels(options.photos).to(dtype)
    tokens = {}

    def round_():
        with torch.inference_mode():
            tokens["value"] = model(pixels)

    def prepare():
        round_()
        if options.save:
            from safetensors.torch import save_file

            save_file({"tokens": tokens["value"].float().contiguous()}, options.save)
        return round_, {}

    serve(prepare)


def ort_encode(options):
    import onnxruntime
    from weights import load_pixels

    def prepare():
        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads = options.threads
        session = onnxruntime.InferenceSession(options.weights, session_options, providers=["CPUExecutionProvider"])
        pixels = load_pixels(options.photos).numpy()
        return lambda: session.run(None, {"pixels": pixels}), {}

    serve(prepare)


def ort_embed(options):
    """One face per round through a face recognition network."""
    import numpy
    import onnxruntime

    def prepare():
        session_options = onnxruntime.SessionOptions()
        session_options.intra_op_num_threads = options.threads
        session = onnxruntime.InferenceSession(options.weights, session_options, providers=["CPUExecutionProvider"])
        pixels = numpy.random.default_rng(0).standard_normal((1, 3, 112, 112), dtype=numpy.float32)
        name = session.get_inputs()[0].name
        return lambda: session.run(None, {name: pixels}), {}

    serve(prepare)


def torch_pulid(options):
    """One photo per round through EVA02-CLIP-L/14-336 (timm) and IDFormer, random weights."""
    import sys
    from pathlib import Path

    import timm
    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "parity"))
    from cases.common import randomise
    from cases.identity_encoders import IdFormer

    torch.set_num_threads(options.threads)

    def prepare():
        vision = timm.create_model("eva02_large_patch14_clip_336", num_classes=768).eval()
        former = randomise(IdFormer(1280, 1024, 2048, width=1024, heads=16, tokens=32, inner=1024, growth=4))
        levels = []
        for block in (4, 8, 12, 16, 20):
            vision.blocks[block].register_forward_pre_hook(lambda _, inputs: levels.append(inputs[0]))
        pixels, face = torch.ones(1, 3, 336, 336), torch.ones(1, 512)

        def round_():
            levels.clear()
            with torch.inference_mode():
                class_embedding = vision(pixels)
                former(torch.cat([face, class_embedding], 1), levels)

        return round_, {}

    serve(prepare)


def diffusers_inject(options):
    """The IP-Adapter processor of diffusers on every cross-attention layer of a host."""
    import torch
    from diffusers.models.attention_processor import Attention, AttnProcessor2_0, IPAdapterAttnProcessor2_0

    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype)
    layers = json.loads(options.layers)
    generator = torch.Generator().manual_seed(0)
    groups, texts = [], {}
    for layer in layers:
        inner, heads, context, rows = (layer[key] for key in ("inner", "heads", "context", "rows"))
        attention = Attention(inner, cross_attention_dim=context, heads=heads, dim_head=inner // heads).to(dtype).eval()
        processor = IPAdapterAttnProcessor2_0(inner, context, num_tokens=(options.tokens,), scale=1.0).to(dtype)
        text = texts.setdefault(context, torch.randn(2, 77, context, generator=generator).to(dtype))
        identity = torch.randn(2, 1, options.tokens, context, generator=generator).to(dtype)
        hidden = torch.randn(2, rows, inner, generator=generator).to(dtype)
        groups.append((attention, processor, hidden, text, identity))

    def run(with_identity):
        with torch.inference_mode():
            for attention, processor, hidden, text, identity in groups:
                if with_identity:
                    attention.set_processor(processor)
                    attention(hidden, encoder_hidden_states=(text, [identity]))
                else:
                    attention.set_processor(AttnProcessor2_0())
                    attention(hidden, encoder_hidden_states=text)

    def prepare():
        return (lambda: run(options.identity), {})

    serve(prepare)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["torch-encode", "ort-encode", "ort-embed", "torch-pulid", "diffusers-inject"])
    parser.add_argument("--weights")
    parser.add_argument("--photos", nargs="*", default=[])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save", help="write the tokens here, for comparison")
    parser.add_argument("--layers", help="JSON list of {inner, heads, context, rows}")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--identity", action="store_true", help="with the identity part")
    options = parser.parse_args()
    tasks = {
        "torch-encode": torch_encode,
        "ort-encode": ort_encode,
        "ort-embed": ort_embed,
        "torch-pulid": torch_pulid,
        "diffusers-inject": diffusers_inject,
    }
    tasks[options.task](options)


if __name__ == "__main__":
    main()
