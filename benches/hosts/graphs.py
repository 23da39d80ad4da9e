"""What an identity costs in a graph: one step of a full-size model with random weights, with and without identity.

    python benches/hosts/graphs.py [sd15|sdxl] [--precision f32] [--size 64x64] [--steps 5] [--folder /tmp]

Exports both graphs, runs one after the other in ONNX Runtime, prints JSON, and deletes the graphs. SD1.5 in f32 takes
3.4 GB of disk and at 64 x 64 15 GB of memory. The second graph's weights are those of the first: they are written to
--scratch (by default in memory), compared, and not kept. Needs Python with torch, diffusers, onnx, onnxruntime and
omniid.
"""

import argparse
import filecmp
import json
import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from diffusers import UNet2DConditionModel
from omniid.onnx import export

SD15 = dict(
    sample_size=64, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768, attention_head_dim=8,
    layers_per_block=2, down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
)  # fmt: skip
SDXL = dict(
    sample_size=128, block_out_channels=(320, 640, 1280), cross_attention_dim=2048, attention_head_dim=(5, 10, 20),
    layers_per_block=2, transformer_layers_per_block=(1, 2, 10), use_linear_projection=True,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), addition_embed_type="text_time",
    addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
)  # fmt: skip


def model(host, precision):
    torch.set_default_dtype(torch.float32 if precision == "f32" else torch.float16)
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**{"sd15": SD15, "sdxl": SDXL}[host]).eval().requires_grad_(False)
    torch.set_default_dtype(torch.float32)
    return unet


def share_weights(graph, other):
    """Lets `other` read the weights of `graph` in the same folder."""
    proto = onnx.load(other, load_external_data=False)
    for item in proto.graph.initializer:
        for entry in item.external_data:
            if entry.key == "location":
                entry.value = f"{graph.name}.data"
    onnx.save(proto, graph.parent / other.name)
    return graph.parent / other.name


def session(path, threads):
    options = onnxruntime.SessionOptions()
    # An arena grows in powers of two, and keeps what the largest attention needed.
    options.enable_cpu_mem_arena = False
    options.intra_op_num_threads = threads
    # Idle threads of one session would take time from the other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def inputs(graph, size, tokens):
    """Random inputs; keys and values for one person, two rows."""
    free = {"rows": 2, "height": size[0], "width": size[1], "text_tokens": 77, "identity_tokens": tokens, "people": 1,
            "mask_height": 1, "mask_width": 1}  # fmt: skip
    random = np.random.default_rng(0)
    found = {}
    for item in graph.get_inputs():
        shape = [free.get(part, part) for part in item.shape]
        kind = np.float16 if item.type == "tensor(float16)" else np.float32
        found[item.name] = random.standard_normal(shape).astype(kind)
    found["timestep"][:] = 500
    if "ip_mask" in found:
        found["ip_mask"][:] = 1
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host", choices=("sd15", "sdxl"), nargs="?", default="sd15")
    parser.add_argument("--precision", choices=("f32", "f16"), default="f32")
    parser.add_argument("--size", default="64x64", help="of the latent picture")
    parser.add_argument("--tokens", type=int, default=16, help="identity tokens")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each graph; 0: export only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", default=None, help="for the graphs; they are deleted afterwards")
    parser.add_argument("--scratch", default="/dev/shm", help="for the second graph's weights, for a moment")
    options = parser.parse_args()
    size = tuple(map(int, options.size.split("x")))
    report = {"host": options.host, "precision": options.precision, "size": options.size, "tokens": options.tokens}

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        graph = Path(folder) / "identity.onnx"
        unet = model(options.host, options.precision)
        started = time.perf_counter()
        manifest = export(unet, graph, precision=options.precision, external=True)
        report["export_seconds"] = round(time.perf_counter() - started, 1)
        report["layers"], report["manifest_host"] = len(manifest.layers), manifest.host
        report["graph_bytes"] = graph.stat().st_size
        report["weight_bytes"] = Path(f"{graph}.data").stat().st_size
        inner = sum(layer.heads * layer.head_dim for layer in manifest.layers)
        report["key_value_bytes_per_token"] = {"f32": 8 * inner, "f16": 4 * inner}
        if options.steps:
            with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
                plain = Path(scratch) / "plain.onnx"
                export(unet, plain, precision=options.precision, external=True, identity=False)
                del unet
                if not filecmp.cmp(f"{plain}.data", f"{graph}.data", shallow=False):
                    raise SystemExit("the graphs have different weights")
                plain = share_weights(graph, plain)
            report |= measure(graph, plain, size, options)
    report["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report["disk_free_bytes"] = shutil.disk_usage(options.folder or tempfile.gettempdir()).free
    print(json.dumps(report, indent=1))


def measure(graph, plain, size, options):
    """One graph after the other, for their memory's sake. Steps are counted in seconds of all cores together: other
    programs on the machine change them less than the time on the clock."""
    clock, processor, outputs, own = {}, {}, {}, None
    for name, path in (("identity", graph), ("plain", plain)):
        found = session(path, options.threads)
        own = own or inputs(found, size, options.tokens)
        feed = {item.name: own[item.name] for item in found.get_inputs()}
        (outputs[name],) = found.run(None, feed | ({"ip_scale": 0 * own["ip_scale"]} if name == "identity" else {}))
        clock[name], processor[name] = [], []
        for _ in range(options.steps):
            started, used = time.perf_counter(), time.process_time()
            found.run(None, feed)
            clock[name].append(round(time.perf_counter() - started, 3))
            processor[name].append(round(time.process_time() - used, 3))
        del found
    medians = {name: statistics.median(processor[name]) for name in processor}
    return {
        "threads": options.threads,
        "clock_seconds": clock,
        "processor_seconds": processor,
        "median_processor_seconds": medians,
        "identity_share": round(medians["identity"] / medians["plain"] - 1, 4),
        "largest_difference_at_scale_0": float(np.abs(outputs["plain"] - outputs["identity"]).max()),
    }


if __name__ == "__main__":
    main()
