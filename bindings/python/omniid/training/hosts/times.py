"""Times of the steps from noise to picture, as a host's own scheduler has them."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np


def flow_times(scheduler: Any, steps: int, tokens: int) -> Optional[list[float]]:
    """`steps` + 1 times from noise, about 1, to 0, by the scheduler's configuration: with its shift (SD3), or with the
    one that depends on the number of the picture's tokens (FLUX). They begin evenly from 1 to 1 / `steps`, as the
    pipeline of FLUX has them. None for a scheduler that is not one of flow matching."""
    make = getattr(type(scheduler), "from_config", None)
    if make is None or not hasattr(scheduler.config, "use_dynamic_shifting"):
        return None
    own = make(scheduler.config)  # a pipeline may be using the other one
    config, more = own.config, {}
    if config.use_dynamic_shifting:
        fewest, most = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        more["mu"] = low + (tokens - fewest) * (high - low) / (most - fewest)
    own.set_timesteps(sigmas=np.linspace(1.0, 1.0 / steps, steps).tolist(), **more)
    return [float(sigma) for sigma in own.sigmas]
