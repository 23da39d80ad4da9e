"""One TOML file per run, with the names of `omniid train`. Unknown names are errors, so a misspelt value never goes
unnoticed."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, TypeVar, Union

from .. import errors
from .sections import (
    AverageConfig,
    DataConfig,
    EvaluationConfig,
    HostConfig,
    MaskedConfig,
    ModelConfig,
    OptimiserConfig,
    ReportConfig,
    SamplerConfig,
    ScheduleConfig,
    need,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Section = TypeVar("Section")

__all__ = [
    "AverageConfig",
    "DataConfig",
    "EvaluationConfig",
    "HostConfig",
    "MaskedConfig",
    "ModelConfig",
    "OptimiserConfig",
    "ReportConfig",
    "RunConfig",
    "SamplerConfig",
    "ScheduleConfig",
]


@dataclass(frozen=True)
class RunConfig:
    """The whole description of a run."""

    name: str
    """A name, for display; also the name inside exported checkpoints."""
    steps: int
    """Optimiser steps of the whole run."""
    seed: int = 0
    """Seed of the weights and the batches."""
    precision: str = "f32"
    """"f32", or "bf16": autocast. Weights and the optimiser are f32 in any case."""
    start: Optional[str] = None
    """Native checkpoint whose tensors of equal name and shape replace the random start."""
    compile: bool = False
    """Whether torch.compile is used."""
    data: DataConfig = field(default_factory=DataConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    masked: MaskedConfig = field(default_factory=MaskedConfig)
    host: Optional[HostConfig] = None
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    average: AverageConfig = field(default_factory=AverageConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    report: ReportConfig = field(default_factory=ReportConfig)

    def check(self) -> None:
        need(self.steps > 0, "steps", self.steps, "at least 1")
        need(0 <= self.seed < 2**63, "seed", self.seed, "0 or more and below 2⁶³")
        need(self.precision in ("f32", "bf16"), "precision", self.precision, "'f32' or 'bf16'")
        need(self.sampler.people % self.optimiser.accumulate == 0, "[optimiser] accumulate",
             self.optimiser.accumulate, "a divisor of [sampler] people")  # fmt: skip
        if self.host is None and self.model.encoder != "omni_id":
            raise errors.FormatError(
                f"[model] encoder {self.model.encoder!r} has nothing to learn in stage 1; it needs [host]"
            )

    @classmethod
    def from_toml(cls, text: str) -> RunConfig:
        """Reads a configuration. Raises FormatError naming the value that is unknown, missing or impossible."""
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise errors.FormatError(f"run configuration: {error}") from error
        try:
            return _read(cls, values, "")
        except errors.FormatError as error:
            raise errors.FormatError(f"run configuration: {error}") from None

    @classmethod
    def open(cls, path: Union[str, Path]) -> RunConfig:
        """Reads a configuration file. Raises IoError, or as `from_toml`."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise errors.IoError(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise errors.FormatError(f"{path}: {error}") from error
        try:
            return cls.from_toml(text)
        except errors.FormatError as error:
            raise errors.FormatError(f"{path}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """Every value, as JSON."""
        return dataclasses.asdict(self)

    def difference(self, other: dict[str, Any]) -> Optional[str]:
        """The first value, by its dotted name, in which a run that is to be resumed differs from this configuration.
        Names, intervals and what is judged may differ: they do not change the weights."""
        neutral = {"name", "report", "evaluation"}
        mine = {name: value for name, value in json.loads(json.dumps(self.to_json())).items() if name not in neutral}
        theirs = {name: value for name, value in other.items() if name not in neutral}
        return _first_difference("", mine, theirs)


def _first_difference(path: str, a: Any, b: Any) -> Optional[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for name in [*a, *(name for name in b if name not in a)]:
            found = _first_difference(f"{path}.{name}" if path else name, a.get(name), b.get(name))
            if found:
                return found
        return None
    return None if a == b else f"{path} is {a!r} here and {b!r} there"


def _read(kind: type[Section], values: Any, path: str) -> Section:
    where = f"[{path}] " if path else ""
    if not isinstance(values, dict):
        raise errors.FormatError(f"{path} is {values!r}; it must be a section")
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    types = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise errors.FormatError(f"{where}unknown name {unknown[0]!r}; known are {', '.join(fields)}")
    found = {}
    for name, item in fields.items():
        if name in values:
            found[name] = _value(types[name], values[name], f"{path}.{name}" if path else name)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise errors.FormatError(f"{where}{name} is missing")
    section = kind(**found)
    try:
        section.check()  # type: ignore[attr-defined]
    except errors.FormatError as error:
        raise errors.FormatError(f"{where}{error}") from None
    return section


_ALONE = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _value(kind: Any, value: Any, name: str) -> Any:
    if typing.get_origin(kind) is Union:
        kind = next(argument for argument in typing.get_args(kind) if argument is not type(None))
    if dataclasses.is_dataclass(kind):
        return _read(kind, value, name)  # type: ignore[arg-type]
    if typing.get_origin(kind) is tuple:
        if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise errors.FormatError(f"{name} is {value!r}; it must be a list of texts")
        return tuple(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise errors.FormatError(f"{name} is {value!r}; it must be a finite number")
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise errors.FormatError(f"{name} is {value!r}; it must be {_ALONE[kind]}")
    return value
