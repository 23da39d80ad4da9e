"""What a graph with identity inputs is: the manifest beside it, and its agreement with a graph and a conditioning."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional, Union, cast

from .. import errors
from ..types import PathLike

FORMAT, VERSION = "omniid-graph", 1
HOSTS = ("sd15", "sdxl", "sd3", "flux", "custom")
FORMS = ("keys_values", "tokens")
PRECISIONS = ("f32", "f16", "bf16")
SUFFIX = ".identity.json"

ONNX_TYPES = {"f32": "tensor(float)", "f16": "tensor(float16)", "bf16": "tensor(bfloat16)"}
"""What ONNX Runtime calls the number types of a manifest."""

Shape = tuple[Union[int, str, None], ...]
"""Sizes of an input; a name or None where it is free."""


@dataclass(frozen=True)
class GraphLayer:
    """One attention layer of a graph with identity inputs."""

    name: str
    """The layer's name in the host, as diffusers has it."""
    heads: int
    """Number of attention heads."""
    head_dim: int
    """Width of one head."""
    key: Optional[str]
    """The input with the identity's keys, `[rows, heads, tokens, head_dim]`; None in a graph that takes tokens."""
    value: Optional[str]
    """The input with the values, of the same shape; None in a graph that takes tokens."""


@dataclass(frozen=True)
class Manifest:
    """The description of a graph with identity inputs: the file `<graph>.identity.json` beside it."""

    graph: str
    """File name of the graph."""
    host: str
    """"sd15", "sdxl", "sd3", "flux", or "custom" for a model of another size."""
    form: str
    """"keys_values": the graph takes each layer's keys and values. "tokens": it takes tokens and has the adapter."""
    precision: str
    """Number type of keys, values, tokens and mask: "f32", "f16" or "bf16". The scale is always f32."""
    layers: tuple[GraphLayer, ...]
    """The layers with an identity, in the order of the graph's inputs and of the scale."""
    rows: Optional[int] = None
    """Rows of the batch; None if any number will do."""
    tokens: Optional[int] = None
    """Identity tokens of all people together; None if any number will do."""
    width: Optional[int] = None
    """Width of a token, where the graph takes tokens."""
    scale: Optional[str] = "ip_scale"
    """The input with one factor for each layer, f32 `[layers]`."""
    mask: Optional[str] = None
    """The input with a mask for each person, `[rows, people, height, width]`; None if the graph has none."""
    tokens_input: Optional[str] = None
    """The input with the tokens, `[rows, tokens, width]`; None if the graph takes keys and values."""
    fingerprint: Optional[str] = None
    """Fingerprint of the identity model whose adapter is in the graph; None if the graph takes keys and values."""

    @classmethod
    def load(cls, path: PathLike) -> Manifest:
        """Reads a manifest, or that of a graph, from the path of either."""
        place = Path(path)
        if not place.name.endswith(SUFFIX):
            place = place.with_name(place.name + SUFFIX)
        try:
            document = json.loads(place.read_text(encoding="utf-8"))
        except OSError as error:
            raise errors.IoError(f"{place}: {error.strerror or error}") from error
        except ValueError as error:
            raise errors.FormatError(f"{place}: not JSON: {error}") from error
        return cls.from_json(document, str(place))

    @classmethod
    def from_json(cls, document: object, what: str = "the manifest") -> Manifest:
        """Checks what was read from a manifest. `what` is its name in errors."""
        reader = _Reader(document, what)
        if reader.text("format") != FORMAT:
            raise errors.FormatError(f"{what}: format is {reader.text('format')!r}; it must be {FORMAT!r}")
        version = reader.number("version")
        if version != VERSION:
            raise errors.UnsupportedError(f"{what}: version {version}; this package reads version {VERSION}")
        form = reader.choice("form", FORMS)
        layers, seen = [], set()
        for i, entry in enumerate(reader.list("layers")):
            part = _Reader(entry, f"{what}: layers[{i}]")
            layer = GraphLayer(
                part.text("name"), part.number("heads"), part.number("head_dim"),
                part.optional_text("key"), part.optional_text("value"),
            )  # fmt: skip
            for name in (layer.name, layer.key, layer.value):
                if name is not None and name in seen:
                    raise errors.FormatError(f"{what}: layers[{i}]: {name!r} occurs twice")
                seen.add(name)
            if form == "keys_values" and (layer.key is None or layer.value is None):
                raise errors.FormatError(f"{what}: layer {layer.name!r} has no inputs for keys and values")
            layers.append(layer)
        manifest = cls(
            graph=reader.text("graph"),
            host=reader.choice("host", HOSTS),
            form=form,
            precision=reader.choice("precision", PRECISIONS),
            layers=tuple(layers),
            rows=reader.optional_number("rows"),
            tokens=reader.optional_number("tokens"),
            width=reader.optional_number("width"),
            scale=reader.optional_text("scale"),
            mask=reader.optional_text("mask"),
            tokens_input=reader.optional_text("tokens_input"),
            fingerprint=reader.optional_text("fingerprint"),
        )
        if not layers:
            raise errors.FormatError(f"{what}: no layers")
        if form == "tokens" and (manifest.tokens_input is None or manifest.width is None):
            raise errors.FormatError(f"{what}: form 'tokens' needs tokens_input and width")
        return manifest

    def to_json(self) -> dict[str, Any]:
        """What `save` writes."""
        return {
            "format": FORMAT,
            "version": VERSION,
            **asdict(self),
            "layers": [asdict(layer) for layer in self.layers],
        }

    def save(self, path: PathLike) -> Path:
        """Writes it beside a graph, from the path of the graph or of the manifest. Gives the file's path."""
        place = Path(path)
        if not place.name.endswith(SUFFIX):
            place = place.with_name(place.name + SUFFIX)
        text = json.dumps(self.to_json(), indent=1) + "\n"
        scratch = place.with_name(place.name + ".part")
        scratch.write_text(text, encoding="utf-8")
        os.replace(scratch, place)
        return place

    @property
    def inputs(self) -> dict[str, tuple[str, Shape]]:
        """The identity inputs that the graph must have, in order: number type and shape of each."""
        found: dict[str, tuple[str, Shape]] = {}
        for layer in self.layers if self.form == "keys_values" else ():
            shape = (self.rows, layer.heads, self.tokens, layer.head_dim)
            for name in (layer.key, layer.value):
                found[cast(str, name)] = (self.precision, shape)
        if self.tokens_input is not None:
            found[self.tokens_input] = (self.precision, (self.rows, self.tokens, self.width))
        if self.scale is not None:
            found[self.scale] = ("f32", (len(self.layers),))
        if self.mask is not None:
            found[self.mask] = (self.precision, (self.rows, None, None, None))
        return found

    def check_graph(self, inputs: Sequence[Any]) -> None:
        """Checks that a graph has the inputs that this manifest promises. `inputs` is what
        `onnxruntime.InferenceSession.get_inputs()` gives. Raises MismatchError, which names layer and shapes."""
        found = {item.name: (item.type, tuple(item.shape)) for item in inputs}
        for name, (precision, shape) in self.inputs.items():
            what = self._place(name)
            if name not in found:
                raise errors.MismatchError(f"{self.graph}: {what}: the graph has no input {name!r}")
            kind, other = found[name]
            if kind != ONNX_TYPES[precision]:
                raise errors.MismatchError(
                    f"{self.graph}: {what}: the manifest says {precision} {list(shape)}, the graph has {kind} "
                    f"{list(other)}"
                )
            fits = len(other) == len(shape) and all(
                not isinstance(b, int) or a is None or a == b for a, b in zip(shape, other)
            )
            if not fits:
                raise errors.MismatchError(
                    f"{self.graph}: {what}: the manifest says {list(shape)}, the graph has {list(other)}"
                )
        order = [item.name for item in inputs if item.name in self.inputs]
        expected = list(self.inputs)
        if order != expected:
            place = next(i for i, (a, b) in enumerate(zip(order, expected)) if a != b)
            raise errors.MismatchError(
                f"{self.graph}: {self._place(expected[place])}: the manifest has {expected[place]!r} at place {place}, "
                f"the graph {order[place]!r}"
            )

    def check_arrays(self, arrays: Mapping[str, Any]) -> None:
        """Checks arrays for the identity inputs, for instance those of `fill`: names, number types and shapes."""
        numbers = {"f32": "float32", "f16": "float16", "bf16": "uint16"}
        for name, (precision, shape) in self.inputs.items():
            what = self._place(name)
            array = arrays.get(name)
            if array is None:
                raise errors.MismatchError(f"{what}: no array for the input {name!r} {list(shape)}")
            if array.dtype.name != numbers[precision]:
                raise errors.MismatchError(
                    f"{what}: the array is {array.dtype.name} {list(array.shape)}, the graph takes "
                    f"{numbers[precision]} {list(shape)}"
                )
            if len(array.shape) != len(shape) or any(a is not None and a != b for a, b in zip(shape, array.shape)):
                raise errors.MismatchError(f"{what}: the array is {list(array.shape)}, the graph takes {list(shape)}")

    def _place(self, name: str) -> str:
        layer = next((layer for layer in self.layers if name in (layer.key, layer.value)), None)
        return f"input {name!r}" if layer is None else f"layer {layer.name!r}"


class _Reader:
    """Fields of a JSON object, by type. Unknown fields are left alone: later versions may have more."""

    def __init__(self, document: object, what: str) -> None:
        if not isinstance(document, dict):
            raise errors.FormatError(f"{what}: not a JSON object")
        self._fields, self._what = document, what

    def _wrong(self, name: str, wanted: str) -> errors.FormatError:
        return errors.FormatError(f"{self._what}: {name} is {self._fields.get(name)!r}; it must be {wanted}")

    def text(self, name: str) -> str:
        value = self._fields.get(name)
        if not isinstance(value, str) or not value:
            raise self._wrong(name, "a text")
        return value

    def optional_text(self, name: str) -> Optional[str]:
        return None if self._fields.get(name) is None else self.text(name)

    def number(self, name: str) -> int:
        value = self._fields.get(name)
        if type(value) is not int or not 0 < value < 2**31:
            raise self._wrong(name, "a whole number of 1 or more")
        return value

    def optional_number(self, name: str) -> Optional[int]:
        return None if self._fields.get(name) is None else self.number(name)

    def choice(self, name: str, known: Sequence[str]) -> str:
        value = self.text(name)
        if value not in known:
            raise self._wrong(name, f"one of {', '.join(known)}")
        return value

    def list(self, name: str) -> Sequence[object]:
        value = self._fields.get(name)
        if not isinstance(value, list):
            raise self._wrong(name, "a list")
        return value
