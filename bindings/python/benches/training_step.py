"""A stage-2 step against a host of its real size with random weights: seconds and memory, beside what `plan` says.

    python bindings/python/benches/training_step.py sd15 --precision bf16 --size 512

Needs no checkpoint. The image encoder is CLIP ViT-H/14, frozen, and the encoder that of the paper, unless --small.
"""

import argparse
import resource
import time
from types import SimpleNamespace

import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from omniid.training.config import RunConfig
from omniid.training.data.sampler import Draw, Input
from omniid.training.data.steps import StepPictures
from omniid.training.hosts.latent import DTYPES, latent_host
from omniid.training.models import identity_of, trainable
from omniid.training.modules import IdentityAdapter
from omniid.training.objectives.host import HostObjective
from omniid.training.plan import KNOWN, host_shape, plan
from omniid.training.schedule import Average, groups

CONFIG = """
name = "step"
steps = 1
[model]
freeze_backbone = true
gradient_checkpointing = true
{model}
[sampler]
people = 1
fewest_inputs = 1
most_inputs = 1
targets = 1
[host]
model = "{host}"
precision = "{precision}"
size = {size}
gradient_checkpointing = {checkpointing}
"""
SMALL = "width = 384\nblocks = 6\nheads = 6\nencoder_width = 384\nencoder_heads = 6\ntoken_width = 384\nqueries = 64"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host", choices=KNOWN)
    parser.add_argument("--precision", choices=DTYPES, default="bf16")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--small", action="store_true", help="a small image encoder and identity encoder")
    parser.add_argument("--no-checkpointing", action="store_true", help="keeps what the host's blocks give")
    options = parser.parse_args()
    config = RunConfig.from_toml(CONFIG.format(
        host=options.host, precision=options.precision, size=options.size, model=SMALL if options.small else "",
        checkpointing=str(not options.no_checkpointing).lower(),
    ))  # fmt: skip
    print(plan(config), flush=True)
    torch.manual_seed(0)
    torch.set_default_dtype(DTYPES[options.precision])
    model = host_shape(options.host)
    torch.set_default_dtype(torch.float32)
    unet = options.host in ("sd15", "sdxl")
    scheduler = DDPMScheduler() if unet else FlowMatchEulerDiscreteScheduler()
    pipeline = SimpleNamespace(**{"unet" if unet else "transformer": model}, scheduler=scheduler, vae=None)
    host = latent_host(pipeline, config.host, torch.device("cpu"))
    identity = identity_of(config.model)
    trainable(identity, config.model)
    adapter = IdentityAdapter(host.table.layers, config.model.token_width)
    objective = HostObjective(config.host, identity, adapter, host, lambda tensor: tensor).train()
    trained = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(groups(trained.items(), config.optimiser))
    average = Average(trained, 0.998)
    side = options.size // 8
    channels = model.config.in_channels if unet or options.host != "flux" else 16
    latents = torch.randn(1, channels, side, side)
    prompt = {name: row[None] for name, row in host.encode_prompts([""])[0].items()}
    photos = torch.rand(1, 1, 3, config.model.image_size, config.model.image_size)
    for step in range(options.steps):
        started = time.monotonic()
        draw = Draw(0, (Input(0, 1.0, 0.0),), (1,), False, False, step)
        pictures = StepPictures(step, photos, None, torch.zeros(1, 13), [None], [None], [draw])
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            loss = objective(pictures, latents, prompt)["loss"]
        loss.backward()
        objective.release()
        length = torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        average.update(trained, step)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"step {step}: loss {float(loss):.4f}, gradient {float(length):.3g}, {time.monotonic() - started:.1f} s, "
            f"{memory:.1f} GiB at most so far",
            flush=True,
        )


if __name__ == "__main__":
    main()
