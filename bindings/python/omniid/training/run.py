"""A run from its configuration to its checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import torch
from accelerate import Accelerator

from .. import errors
from .checkpoint import Crop, NativeCheckpoint, make_folder
from .compared import save_compared
from .config import RunConfig
from .data.cache import Cache, fill_latents, fill_prompts, variants
from .data.people import Person
from .data.pictures import cut, decode, to_tensor
from .data.steps import PictureSizes
from .hosts import Host, open_host
from .models import AnyIdentity, identity_of, start_from, trainable
from .modules import IdentityAdapter, IdentityModel
from .objectives.host import HostObjective
from .objectives.masked import MaskedObjective
from .people import INPUT_MARGIN, TARGET_MARGIN, Report, people_of
from .processes import open_accelerator
from .stages import HostStage, MaskedStage, prompt_of
from .trainer import Trainer

_MEAN_PEOPLE = 512
"""People of whom the mean tokens are computed."""


def run(
    config: RunConfig,
    out: Path,
    *,
    resume: bool = False,
    allow_changes: bool = False,
    report: Optional[Report] = None,
) -> Optional[Path]:
    """Trains, and writes `model.safetensors` into the folder `out`. None when it was interrupted.

    Every process of `accelerate launch` calls it with the same arguments. Raises the errors of `omniid.errors`.
    """
    make_folder(out)
    accelerator = open_accelerator(config, out)
    main = accelerator.is_main_process
    say: Report = report or (lambda text: print(text, file=sys.stderr, flush=True))
    report = say if main else lambda _: None
    if (out / "metrics.jsonl").exists() and not resume:
        raise errors.InvalidArgumentError(
            f"{out} has a run already; --resume goes on with it, another --out begins anew"
        )
    if config.report.tracker:
        accelerator.init_trackers(config.name, config=config.to_json())
    with accelerator.main_process_first():
        train, validation = people_of(config, out, report, main)
    torch.manual_seed(config.seed)
    identity = identity_of(config.model)
    crop = Crop("face", INPUT_MARGIN) if config.data.crop == "face" or config.data.shards else Crop("none")
    stage: Any
    host: Optional[Host] = None
    adapter: Optional[IdentityAdapter] = None
    if config.host is None:
        trainable(identity, config.model)
        objective: Any = MaskedObjective(config, identity)
        if config.start:
            _say_start(config.start, start_from(config.start, identity, None), report)
        objective.to(accelerator.device)
        stage = MaskedStage(config, accelerator, objective, crop, train, validation)
    else:
        host = open_host(config.host, accelerator.device)
        adapter = IdentityAdapter(host.table.layers, identity.token_width)
        text = host.text_weights() if config.host.start_from_text else None
        if text is not None:
            adapter.start_from_host([(key.cpu(), value.cpu()) for key, value in text])
        if config.start:
            _say_start(config.start, start_from(config.start, identity, adapter), report)
        trainable(identity, config.model)

        def mean(tensor: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = accelerator.reduce(tensor, "mean")
            return found

        objective = HostObjective(config.host, identity, adapter, host, mean).to(accelerator.device)
        cache = Cache(Path(config.host.cache or out / "cache"), f"{host.digest()}\n{config.host.size}")
        _fill(config, accelerator, cache, host, [*train, *validation], crop, report)
        host.release_encoders()
        stage = HostStage(config, accelerator, objective, crop, cache, train, validation)
    trainer = Trainer(config, out, accelerator, stage)
    if resume:
        trainer.resume(allow_changes)
        report(f"goes on after step {trainer.step}")
    finished = trainer.run(report)
    if config.report.tracker:
        accelerator.end_training()
    if not finished:
        return None
    if trainer.updates == 0:
        raise errors.InternalError(
            f"none of {config.steps} steps had a finite loss and gradient: nothing was learned, and no checkpoint is "
            "written; look at the photos' crops, [optimiser] learning_rate and the host's precision"
        )
    trainer.average.swap(trainer.parameters)
    if trainer.sharded:
        identity, adapter = _whole(config, trainer.whole_state(), adapter, accelerator.device, main) or (
            identity,
            adapter,
        )
    path = out / ("model.safetensors" if isinstance(identity, IdentityModel) else "compared.safetensors")
    if main:
        if isinstance(identity, IdentityModel):
            identity.encoder.token_mean = mean_tokens(identity, train, config, crop, accelerator.device)
            table = None if host is None else host.table
            NativeCheckpoint(config.name, identity, crop, adapter, table).save(path)
        else:
            save_compared(path, config, identity, adapter)
        report(str(path))
    accelerator.wait_for_everyone()
    return path


def _whole(
    config: RunConfig,
    state: dict[str, torch.Tensor],
    adapter: Optional[IdentityAdapter],
    device: torch.device,
    main: bool,
) -> Optional[tuple[AnyIdentity, Optional[IdentityAdapter]]]:
    """Encoder and adapter with all weights, in the main process, where each had a part."""
    if not main:
        return None
    identity = identity_of(config.model)
    trainable(identity, config.model)
    new = None if adapter is None else IdentityAdapter(adapter.host_layers, identity.token_width)
    for name, module in (("identity.", identity), ("adapter.", new)):
        if module is not None:
            module.load_state_dict({key[len(name) :]: value for key, value in state.items() if key.startswith(name)})
    return identity.to(device), new


def _say_start(path: str, left: Sequence[str], report: Report) -> None:
    report(f"starts from {path}" + (f"; {len(left)} tensors are not in it, such as {left[0]}" if left else ""))


def _fill(
    config: RunConfig, accelerator: Accelerator, cache: Cache, host: Host, people: Sequence[Person], crop: Crop,
    report: Report,
) -> None:  # fmt: skip
    """Latents and prompt embeddings of everything that the run can draw."""
    assert config.host is not None
    sizes = PictureSizes(0, crop.margin, host.size, TARGET_MARGIN)
    kinds = variants(config.sampler.grey_fraction > 0, config.sampler.mirror)
    if accelerator.is_main_process:
        prompts = {""} | {prompt_of(config, p, picture.caption) for p in people for picture in p.pictures}
        fill_prompts(cache, prompts, host.encode_prompts)

    def progress(done: int, total: int) -> None:
        if done % 200 == 0 or done == total:
            report(f"latents: {done} of {total} pictures")

    fill_latents(
        cache, people, sizes, host.encode_pictures, kinds, process=accelerator.process_index,
        processes=accelerator.num_processes, progress=progress,
    )  # fmt: skip
    accelerator.wait_for_everyone()


@torch.no_grad()
def mean_tokens(
    identity: IdentityModel, people: Sequence[Person], config: RunConfig, crop: Crop, device: torch.device
) -> torch.Tensor:
    """The mean tokens of people: "no identity"."""
    identity.eval()
    size, total = int(identity.backbone.config["image_size"]), None
    chosen = people[:: max(len(people) // _MEAN_PEOPLE, 1)]
    for person in chosen:
        photos = []
        for picture in person.pictures[: config.sampler.most_inputs]:
            image, _ = cut(decode(picture), picture.face, crop.margin, size)
            photos.append(to_tensor(image))
        pixels = identity.backbone.pixels.prepare(torch.stack(photos)[None].to(device))
        tokens = identity(pixels)[0].float().cpu()
        total = tokens if total is None else total + tokens
    assert total is not None
    return total / len(chosen)
