"""`python -m omniid.training evaluate`: a trained encoder in its host, on people that it has not seen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

import torch

from ... import errors
from ..checkpoint import Crop, NativeCheckpoint, make_folder
from ..compared import is_compared, load_compared
from ..config import RunConfig
from ..data.steps import PictureSizes, StepPictures
from ..hosts import Host, Prompt, host_table, open_host
from ..hosts.table import check_table
from ..models import identity_of, trainable
from ..modules import IdentityAdapter
from ..modules.compared import Embed
from ..objectives.host import HostObjective
from ..painting import paint
from ..people import INPUT_MARGIN, TARGET_MARGIN, judged_people
from .drawn import evaluate
from .measures import Row
from .tables import table, write


def run_evaluation(
    config: RunConfig,
    checkpoint: Path,
    out: Path,
    *,
    embed: Optional[Embed] = None,
    split: str = "test",
    most: int = 0,
    inputs: Sequence[int] = (1, 3, 5, 7),
    targets: int = 4,
    seeds: int = 3,
    together: int = 4,
    steps: int = 20,
    guidance: float = 1.0,
    report: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Draws the people of a split and writes `evaluation.md` and `evaluation.json` into `out`. `checkpoint` is a native
    one, or `compared.safetensors` of a run with another encoder. Raises the errors of `omniid.errors`."""
    if config.host is None:
        raise errors.InvalidArgumentError(
            "the configuration has no [host]; what stage 1 learns is judged during the run"
        )
    make_folder(out)
    faces = checkpoint.parent / "faces.jsonl"  # of the run
    if faces.is_file() and not (out / faces.name).exists():
        shutil.copyfile(faces, out / faces.name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    people = judged_people(config, out, split, report)[: most or None]
    host = open_host(config.host, device)
    objective = open_objective(config, checkpoint, host).to(device).eval()
    drawing = _Drawing(config, objective, device, steps, guidance)
    crop = Crop("face", INPUT_MARGIN)
    size = int(objective.identity.backbone.config["image_size"])
    sizes = PictureSizes(size, crop.margin, host.size, TARGET_MARGIN)
    report(f"{len(people)} people")
    rows = evaluate(
        drawing, embed, people, sizes, inputs=inputs, targets=targets, seeds=range(seeds), together=together,
        progress=lambda done, total: report(f"drawn: {done} of {total} people"),
    )  # fmt: skip
    write(rows, out)
    report(table(rows))
    return rows


def open_objective(config: RunConfig, checkpoint: Path, host: Host) -> HostObjective:
    """Encoder and adapter of a file, in a host. Raises MismatchError when the adapter is for another host."""
    assert config.host is not None
    identity: Any
    compared = is_compared(checkpoint)
    if compared:
        identity = identity_of(config.model)
        trainable(identity, config.model)
        adapter = IdentityAdapter(host.table.layers, identity.token_width)
    else:
        found = NativeCheckpoint.open(checkpoint, host.table.layers)
        if found.adapter is None:
            raise errors.UnsupportedError(f"{checkpoint} has no adapter for a host; stage 2 makes one")
        check_table(found.adapter.host_layers, host_table(host.model).layers, str(checkpoint))
        identity, adapter = found.model, found.adapter
    objective = HostObjective(config.host, identity, adapter, host, lambda tensor: tensor)
    if compared:
        load_compared(checkpoint, config, objective)
    return objective


class _Drawing:
    """Draws the targets of a step."""

    def __init__(
        self, config: RunConfig, objective: HostObjective, device: torch.device, steps: int, guidance: float
    ) -> None:
        assert config.host is not None
        self._config, self._objective, self._device = config.host, objective, device
        self._steps, self._guidance = steps, guidance
        host = objective.host
        self._shape = host.encode_pictures(torch.zeros(1, 3, host.size, host.size)).shape[1:]
        self._known: dict[str, Prompt] = {}

    def __call__(self, step: StepPictures, turn: int, seed: int) -> torch.Tensor:
        default = self._config.caption.replace("{name}", "person")
        prompts = [caption if self._config.captions and caption else default for caption in step.captions]
        latents = paint(
            self._objective, step, self._shape, self._prompts(prompts), self._device, turn=turn, seed=seed,
            steps=self._steps, guidance=self._guidance, nothing=self._prompts([""] * len(prompts)),
        )  # fmt: skip
        return torch.cat([self._objective.host.decode(part) for part in latents.split(4)])

    def _prompts(self, prompts: Sequence[str]) -> Prompt:
        rows = []
        for prompt in prompts:
            if prompt not in self._known:
                self._known[prompt] = self._objective.host.encode_prompts([prompt])[0]
            rows.append(self._known[prompt])
        longest = {name: max(row[name].shape[0] for row in rows) for name in rows[0]}

        def filled(name: str, tensor: torch.Tensor) -> torch.Tensor:
            missing = longest[name] - tensor.shape[0] if tensor.ndim > 1 else 0
            return torch.nn.functional.pad(tensor, (0, 0, 0, missing)) if missing else tensor

        return {name: torch.stack([filled(name, row[name]) for row in rows]).to(self._device) for name in rows[0]}
