"""Native checkpoints: one safetensors file that the library, its bindings and programs open."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import safetensors
import torch
from safetensors.torch import save

from .. import errors
from ..conditioning import HostLayer
from .modules import Backbone, IdentityAdapter, IdentityModel, OmniIdConfig, PixelStatistics

FORMAT = "1"
"""Version of the native format, in metadata under `omniid.format`."""


@dataclass(frozen=True)
class Crop:
    """The crop that a model was trained on."""

    mode: str = "face"
    """"none", "center", "face" or "aligned"."""
    margin: float = 0.5
    """Of "face": what is added to the face's box, in multiples of its side."""
    scale: float = 1.0
    """Of "aligned"."""
    center: tuple[float, float] = (0.5, 0.5)
    """Of "aligned"."""

    def to_json(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"mode": self.mode}
        if self.mode == "face":
            parts["margin"] = self.margin
        elif self.mode == "aligned":
            parts |= {"scale": self.scale, "center": list(self.center)}
        return parts


@dataclass(frozen=True)
class HostTable:
    """The host that an adapter is for."""

    layers: tuple[HostLayer, ...]
    """The layers in the adapter's order."""
    written: Any
    """What the metadata says: the name of a host that the library knows, or a table."""


@dataclass
class NativeCheckpoint:
    """What a native checkpoint has in it: parts of a model, and what else the file holds."""

    name: str
    model: IdentityModel
    crop: Crop = field(default_factory=Crop)
    adapter: Optional[IdentityAdapter] = None
    host: Optional[HostTable] = None
    others: dict[str, torch.Tensor] = field(default_factory=dict)
    """Tensors that training does not touch, by their full names: `detector.…`, `similarity.…`."""

    def config(self) -> dict[str, Any]:
        """The metadata `omniid.config`."""
        pixels = self.model.backbone.pixels
        found: dict[str, Any] = {
            "name": self.name,
            "backbone": self.model.backbone.config,
            "pixels": {"mean": list(pixels.mean), "std": list(pixels.std)},
            "crop": self.crop.to_json(),
            "encoder": {"kind": "omni_id", **asdict(self.model.encoder.config)},
        }
        if self.host is not None:
            found["host"] = self.host.written
        return found

    def state(self) -> dict[str, torch.Tensor]:
        """All tensors by their native names."""
        parts = {
            "backbone": self.model.backbone.native_state(),
            "encoder": dict(self.model.encoder.state_dict()),
            "adapter": {} if self.adapter is None else self.adapter.native_state(),
        }
        found = {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}
        return found | self.others

    def save(self, path: Union[str, Path], dtype: torch.dtype = torch.float32) -> None:
        """Writes the file beside its place and renames it. Raises IoError; then the old file is as it was."""
        tensors = {
            name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
            for name, tensor in self.state().items()
        }
        metadata = {"omniid.format": FORMAT, "omniid.config": json.dumps(self.config())}
        write_file(path, save(tensors, metadata))

    @classmethod
    def open(cls, path: Union[str, Path], host_layers: Optional[Sequence[HostLayer]] = None) -> NativeCheckpoint:
        """Reads a file. `host_layers` is the table of a built-in host, which the file does not hold; without it the
        adapter of one is left in `others`. Raises IoError, FormatError, MismatchError, UnsupportedError."""
        config, tensors = read_file(path)
        backbone_config = config.get("backbone")
        encoder = dict(config.get("encoder") or {})
        if backbone_config is None or encoder.pop("kind", None) != "omni_id":
            raise errors.UnsupportedError(
                f"{path}: its identity encoder is not Omni-ID with an image encoder before it"
            )
        pixels = config.get("pixels")
        statistics = None if pixels is None else PixelStatistics(tuple(pixels["mean"]), tuple(pixels["std"]))
        try:
            model = IdentityModel(Backbone(backbone_config, statistics), OmniIdConfig(**encoder))
        except (KeyError, TypeError) as error:
            raise errors.FormatError(f"{path}: omniid.config: {error}") from error
        parts: dict[str, dict[str, torch.Tensor]] = {"backbone": {}, "encoder": {}, "adapter": {}}
        others = {}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = tensor.float()
            else:
                others[name] = tensor
        try:
            model.backbone.load_native_state(parts["backbone"])
            mean = parts["encoder"].pop("token_mean", None)
            model.encoder.load_state_dict(parts["encoder"])
        except RuntimeError as error:
            raise errors.FormatError(f"{path}: encoder: {error}") from error
        model.encoder.token_mean = mean
        host, adapter = _host(config.get("host"), host_layers), None
        if host is not None and parts["adapter"]:
            projection = "proj.0.weight" in parts["adapter"]
            adapter = IdentityAdapter(host.layers, model.encoder.config.token_width, projection)
            adapter.load_native_state(parts["adapter"])
        elif parts["adapter"]:
            others |= {f"adapter.{name}": tensor for name, tensor in parts["adapter"].items()}
        crop = config.get("crop", {"mode": "none"})
        if "center" in crop:
            crop = crop | {"center": tuple(crop["center"])}
        return cls(config.get("name", ""), model, Crop(**crop), adapter, host, others)


def _host(written: Any, layers: Optional[Sequence[HostLayer]]) -> Optional[HostTable]:
    if isinstance(written, str):
        return None if layers is None else HostTable(tuple(layers), written)
    if written is None:
        return None
    table = tuple(
        HostLayer(layer["name"], layer["heads"], layer["head_dim"], layer["context"], layer.get("hidden", 0))
        for layer in written["layers"]
    )
    return HostTable(table, written)


def read_file(path: Union[str, Path]) -> tuple[Mapping[str, Any], dict[str, torch.Tensor]]:
    """`omniid.config` and all tensors of a native checkpoint."""
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except OSError as error:
        raise errors.IoError(f"{path}: {error}") from error
    except safetensors.SafetensorError as error:
        raise errors.FormatError(f"{path}: {error}") from error
    if metadata.get("omniid.format") != FORMAT:
        raise errors.UnsupportedError(
            f"{path}: omniid.format is {metadata.get('omniid.format')!r}; a native checkpoint of format {FORMAT} is "
            "needed"
        )
    try:
        config = json.loads(metadata["omniid.config"])
    except (KeyError, ValueError) as error:
        raise errors.FormatError(f"{path}: metadata omniid.config: {error}") from error
    return config, tensors


def make_folder(path: Path) -> None:
    """Makes a folder and those above it. Raises IoError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.IoError(f"{path}: {error.strerror}") from error


def write_file(path: Union[str, Path], data: bytes) -> None:
    """Writes to a temporary file beside `path`, makes it durable and renames it."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise errors.IoError(f"{path}: {error.strerror}") from error
