"""The loop of a run: steps over any number of processes by accelerate, states, metrics."""

from __future__ import annotations

import json
import math
import shutil
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Callable, Optional, Protocol

import torch
from accelerate import Accelerator, DistributedType
from safetensors.torch import load_file, save_file
from torch import nn

from .. import errors
from .checkpoint import write_file
from .config import RunConfig
from .schedule import Average, groups, rate

STATE = "state"
"""Folder of the last saved state in a run's folder."""


class Stage(Protocol):
    """What a stage does in the loop."""

    module: nn.Module
    """Everything that is trained."""

    def batches(self, first: int, last: int) -> Iterable[Any]:
        """Parts of steps `first` to `last`, `accumulate` for each, of this process."""
        ...

    def loss(self, module: nn.Module, batch: Any) -> torch.Tensor:
        """The loss of a part, through the wrapped module."""
        ...

    def release(self) -> None:
        """Called after the backward pass of each part."""
        ...

    def evaluate(self, module: nn.Module) -> Mapping[str, float]:
        """Validation through the wrapped module, with the weights as they are."""
        ...

    def preview(self, path: Path) -> None:
        """Writes a sample grid."""
        ...

    def pictures(self) -> int:
        """Pictures of a step, all processes together."""
        ...


class Trainer:
    """Trains a stage. Every process makes one."""

    def __init__(self, config: RunConfig, out: Path, accelerator: Accelerator, stage: Stage) -> None:
        self.config, self.out, self.accelerator, self.stage = config, out, accelerator, stage
        trained = [(name, p) for name, p in stage.module.named_parameters() if p.requires_grad]
        optimiser = config.optimiser
        self.optimiser: Any = torch.optim.AdamW(
            groups(trained, optimiser), betas=(optimiser.beta1, optimiser.beta2), eps=optimiser.epsilon
        )
        module: Any = torch.compile(stage.module) if config.compile else stage.module
        self.module, self.optimiser = accelerator.prepare(module, self.optimiser)
        # Under FSDP the parameters are another object than before: this process's shards.
        unwrapped = accelerator.unwrap_model(self.module)
        self.parameters = {name: p for name, p in unwrapped.named_parameters() if p.requires_grad}
        self.average = Average(self.parameters, config.average.decay)
        self.step = 0
        self.skipped = 0
        self.updates = 0
        """Steps that changed the weights."""
        self._stopped = False

    @property
    def sharded(self) -> bool:
        """Whether each process has a part of the weights only (FSDP)."""
        return self.accelerator.distributed_type == DistributedType.FSDP

    @property
    def deepspeed(self) -> bool:
        """Whether DeepSpeed steps: with ZeRO each process has all weights, and a part of the optimiser's moments."""
        return self.accelerator.distributed_type == DistributedType.DEEPSPEED

    def whole_state(self) -> dict[str, torch.Tensor]:
        """All weights of the module by their names, in the main process. Every process calls it."""
        found = self.accelerator.get_state_dict(self.module)
        return {name.replace("_orig_mod.", ""): tensor for name, tensor in (found or {}).items()}

    def run(self, report: Callable[[str], None]) -> bool:
        """Trains to the end. False when it was interrupted; then the state is saved."""
        config, main = self.config, self.accelerator.is_main_process
        before = signal.signal(signal.SIGINT, self._stop) if main else None
        terminate = signal.signal(signal.SIGTERM, self._stop)
        started, first = time.monotonic(), self.step
        try:
            parts = iter(self.stage.batches(self.step, config.steps))
            while self.step < config.steps:
                loss, length = self._one(parts)
                done = self.step
                if done % config.report.metrics_every == 0 or done == config.steps:
                    speed = (done - first) * self.stage.pictures() / max(time.monotonic() - started, 1e-9)
                    self._metrics({"step": done, "loss": loss, "gradient": length, "rate": self._rate(),
                                   "skipped": self.skipped, "pictures_per_second": round(speed, 2)})  # fmt: skip
                    left = (config.steps - done) * (time.monotonic() - started) / max(done - first, 1)
                    report(f"step {done} of {config.steps}: loss {loss:.4f}, {speed:.1f} pictures/s, {left:.0f} s left")
                every = config.evaluation.every
                if done == config.steps or (every and done % every == 0):
                    self._evaluate()
                every = config.report.preview_every
                if done == config.steps or (every and done % every == 0):
                    self._preview()
                stopped = self._anybody_stopped()
                if done % config.report.state_every == 0 or done == config.steps or stopped:
                    self.save()
                if stopped:
                    report(f"stopped after step {done}; the state is saved")
                    return False
        finally:
            if before is not None:
                signal.signal(signal.SIGINT, before)
            signal.signal(signal.SIGTERM, terminate)
        return True

    def _stop(self, *_: object) -> None:
        self._stopped = True

    def _anybody_stopped(self) -> bool:
        if self.accelerator.num_processes == 1:
            return self._stopped
        flag = torch.tensor([int(self._stopped)], device=self.accelerator.device)
        total: torch.Tensor = self.accelerator.reduce(flag, "sum")
        return bool(total.item())

    def _rate(self) -> float:
        config = self.config
        return config.optimiser.learning_rate * rate(config.schedule, self.step, config.steps)

    def _one(self, parts: Any) -> tuple[float, float]:
        """One optimiser step. Gives loss and length of the gradient over all processes."""
        config, accelerator = self.config, self.accelerator
        self.module.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate() * group["factor"]
        total = torch.zeros((), device=accelerator.device)
        count = config.optimiser.accumulate
        for part in range(count):
            batch = next(parts)
            last = part == count - 1
            if self.deepspeed:
                self.module.set_gradient_accumulation_boundary(last)
            with accelerator.no_sync(self.module) if not last and not self.deepspeed else nullcontext():
                with self._autocast():
                    loss = self.stage.loss(self.module, batch) / count
                if self.deepspeed:
                    self.module.backward(loss)
                else:
                    accelerator.backward(loss)
            self.stage.release()
            total += loss.detach()
        mean = float(accelerator.reduce(total, "mean"))
        length, stepped = self._update(mean)
        if stepped:
            self.average.update(self.parameters, self.step)
            self.skipped, self.updates = 0, self.updates + 1
        else:
            self.skipped += 1
            if self.skipped >= config.optimiser.most_skipped:
                self._metrics({"step": self.step + 1, "loss": mean, "gradient": length, "skipped": self.skipped})
                raise errors.InternalError(
                    f"{self.skipped} steps in a row had a loss or gradient that is not finite; the last state is in "
                    f"{self.out / STATE}"
                )
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return mean, length

    def _update(self, loss: float) -> tuple[float, bool]:
        """Length of the gradient, and whether the weights changed: not where a number is not finite."""
        if self.deepspeed:
            # It clips, and leaves out steps whose gradient is not finite.
            self.module.step()
            length = self.module.get_global_grad_norm()
            return math.nan if length is None else float(length), bool(self.module.was_step_applied())
        clip = self.config.optimiser.clip or math.inf
        length = float(self.accelerator.clip_grad_norm_(self.module.parameters(), clip))
        finite = math.isfinite(loss) and math.isfinite(length)
        if finite:
            self.optimiser.step()
        return length, finite

    def _autocast(self) -> Any:
        if self.deepspeed and self.config.precision == "bf16":
            return torch.autocast(self.accelerator.device.type, torch.bfloat16)
        return self.accelerator.autocast()

    def _evaluate(self) -> None:
        self.module.eval()
        self.average.swap(self.parameters)
        try:
            found = self.stage.evaluate(self.module)
        finally:
            self.average.swap(self.parameters)
        self._metrics({"step": self.step, **{f"validation_{name}": value for name, value in found.items()}})

    def _preview(self) -> None:
        if self.sharded:
            return  # no process has all weights by itself
        self.module.eval()
        self.average.swap(self.parameters)
        try:
            if self.accelerator.is_main_process:
                self.stage.preview(self.out / f"preview-{self.step:07d}.png")
            self.accelerator.wait_for_everyone()
        finally:
            self.average.swap(self.parameters)

    def _metrics(self, values: dict[str, Any]) -> None:
        if not self.accelerator.is_main_process:
            return
        with open(self.out / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(without_nan(values), allow_nan=False) + "\n")
        self.accelerator.log({name: value for name, value in values.items() if name != "step"}, step=self.step)

    def save(self) -> None:
        """Saves the state beside the old one, and renames. What was saved before is there until then."""
        accelerator, new = self.accelerator, self.out / f"{STATE}.new"
        if accelerator.is_main_process:
            shutil.rmtree(new, ignore_errors=True)
        accelerator.wait_for_everyone()
        try:
            accelerator.save_state(str(new))
            values = {name: value.contiguous() for name, value in self.average.values.items()}
            save_file(values, str(new / f"average-{accelerator.process_index}.safetensors"))
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                written = {"step": self.step, "skipped": self.skipped, "updates": self.updates,
                           "processes": accelerator.num_processes, "config": self.config.to_json()}  # fmt: skip
                write_file(new / "run.json", json.dumps(written).encode())
                old = self.out / f"{STATE}.old"
                shutil.rmtree(old, ignore_errors=True)
                place = self.out / STATE
                if place.exists():
                    place.rename(old)
                new.rename(place)
                shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise errors.IoError(f"{new}: {error.strerror or error}; the state before is kept") from error
        accelerator.wait_for_everyone()

    def resume(self, allow_changes: bool) -> None:
        """Goes on from the saved state; a run that was killed before its first one begins again. Raises IoError when
        there is no run, MismatchError for another configuration."""
        place = saved_state(self.out)
        metrics = self.out / "metrics.jsonl"
        if metrics.exists() and not place.exists():
            self.accelerator.wait_for_everyone()
            if self.accelerator.is_main_process:
                metrics.unlink()
            return
        try:
            written = json.loads((place / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise errors.IoError(f"{place}: no complete state of a run: {error}") from error
        difference = self.config.difference(written["config"])
        if difference and not allow_changes:
            raise errors.MismatchError(
                f"the run was begun with another configuration: {difference}; --allow-changes goes on nevertheless"
            )
        if (self.sharded or self.deepspeed) and written["processes"] != self.accelerator.num_processes:
            raise errors.MismatchError(
                f"the state is of {written['processes']} processes with a part of it each; "
                f"{self.accelerator.num_processes} cannot go on with it"
            )
        self.accelerator.load_state(str(place))
        own = place / f"average-{self.accelerator.process_index}.safetensors"
        # Without FSDP every process has all of it; so a run may go on with more of them.
        values = load_file(str(own if own.exists() else place / "average-0.safetensors"))
        for name, value in self.average.values.items():
            value.copy_(values[name].to(value.device))
        self.step, self.skipped = int(written["step"]), int(written["skipped"])
        self.updates = int(written.get("updates", self.step))


def saved_state(out: Path) -> Path:
    """The folder of the last complete state: that of a run killed between two renames is still called old."""
    place = out / STATE
    old: Optional[Path] = out / f"{STATE}.old"
    return old if not place.exists() and old is not None and old.exists() else place


def without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with None for numbers that are not finite, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
