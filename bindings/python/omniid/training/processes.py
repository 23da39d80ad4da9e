"""The processes of a run, as accelerate makes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from accelerate import Accelerator, DistributedType
from accelerate.state import PartialState

from .. import errors
from .config import RunConfig


def open_accelerator(config: RunConfig, out: Path) -> Accelerator:
    """What `accelerate launch` or torchrun started this process for. Raises InvalidArgumentError for a tracker that
    accelerate does not know, UnsupportedError for what this loop cannot run on."""
    tracker: Any = config.report.tracker or None
    sharded, deepspeed = _wanted("ACCELERATE_USE_FSDP"), _wanted("ACCELERATE_USE_DEEPSPEED")
    # DeepSpeed would round the weights that are trained; the loop has autocast of its own.
    precision = "bf16" if config.precision == "bf16" and not deepspeed else "no"
    try:
        accelerator = Accelerator(mixed_precision=precision, log_with=tracker, project_dir=str(out))
    except ValueError as error:
        raise errors.InvalidArgumentError(f"accelerate: {error}; [report] tracker is {tracker!r}") from error
    except ImportError as error:
        raise errors.UnsupportedError(f"accelerate: {error}") from error
    on_processors = accelerator.distributed_type == DistributedType.MULTI_CPU
    if sharded and on_processors:
        _shard_on_processors(accelerator, precision)
    if deepspeed:
        if on_processors:
            _deepspeed_on_processors(accelerator)
        if accelerator.distributed_type != DistributedType.DEEPSPEED:
            raise errors.UnsupportedError(
                "DeepSpeed is for processes that `accelerate launch` or torchrun started, and there is one without them"
            )
        _configure(accelerator, config)
    return accelerator


def _wanted(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("true", "1")


def _become(accelerator: Accelerator, kind: DistributedType, **plugins: Any) -> None:
    """accelerate reads the settings of FSDP and DeepSpeed and forgets them again unless there are GPUs."""
    state: Any = accelerator.state
    state.distributed_type = kind
    for name, plugin in plugins.items():
        setattr(state, name, plugin)
    # accelerate makes its state anew from this one now and then.
    PartialState._shared_state["distributed_type"] = kind


def _shard_on_processors(accelerator: Accelerator, precision: str) -> None:
    """FSDP on CPUs: PyTorch's `fully_shard` (FSDP2) does not mind. The older FSDP saves no state there."""
    from accelerate.utils import FullyShardedDataParallelPlugin

    plugin = FullyShardedDataParallelPlugin()
    if plugin.fsdp_version != 2:
        raise errors.UnsupportedError(
            "FSDP of version 1 saves no state on CPUs; set FSDP_VERSION=2 (fsdp_version: 2 in accelerate's "
            "configuration)"
        )
    if precision != "no":
        plugin.set_mixed_precision(precision)
    _become(accelerator, DistributedType.FSDP, fsdp_plugin=plugin)


def _deepspeed_on_processors(accelerator: Accelerator) -> None:
    from accelerate.utils import DeepSpeedPlugin

    plugin = DeepSpeedPlugin()
    plugin.set_mixed_precision("no")
    plugin.select(_from_accelerator_state=True)
    _become(accelerator, DistributedType.DEEPSPEED, deepspeed_plugins=plugin)


def _configure(accelerator: Accelerator, config: RunConfig) -> None:
    """Tells DeepSpeed what the run says: the loop has its own parts of a step, and the run its own clipping. Raises
    UnsupportedError for settings with which it would not train what the run says."""
    plugin: Any = accelerator.state.deepspeed_plugin
    settings = plugin.deepspeed_config
    stage = settings.get("zero_optimization", {}).get("stage", 0)
    if stage not in (1, 2):
        raise errors.UnsupportedError(
            f"DeepSpeed's ZeRO stage is {stage}; 1 and 2 are known. With FSDP each process has a part of the weights, "
            "as with stage 3"
        )
    if any(settings.get(name, {}).get("enabled") is True for name in ("fp16", "bf16")):
        raise errors.UnsupportedError(
            'DeepSpeed is to train in 16 bits; leave that to the run: precision = "bf16" keeps its weights in f32'
        )
    settings |= {
        "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1,
        "gradient_clipping": config.optimiser.clip,
    }  # fmt: skip
    settings.pop("train_batch_size", None)
