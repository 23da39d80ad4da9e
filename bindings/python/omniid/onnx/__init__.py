"""Graphs with an identity as input, for runtimes that take a whole graph: ONNX Runtime, Unity, Unreal, TensorRT.

    from omniid.onnx import Manifest, export, fill

    export(pipe, "unet.onnx")                       # once: needs PyTorch and diffusers
    manifest = Manifest.load("unet.onnx")           # where it runs: needs NumPy
    inputs = fill(engine.condition(identity), manifest)
    session.run(None, {**own_inputs, **inputs})

`python -m omniid.onnx --help` does the first step as a program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._fill import fill, fill_step, ort_values
from ._manifest import GraphLayer, Manifest

if TYPE_CHECKING:
    from ._export import export
    from ._hosts import Input, Wrapper

__all__ = [
    "GraphLayer",
    "Input",
    "Manifest",
    "Wrapper",
    "export",
    "fill",
    "fill_step",
    "ort_values",
]


def __getattr__(name: str) -> Any:
    # PyTorch is needed to write graphs, not to fill their inputs.
    if name == "export":
        from ._export import export

        return export
    if name in ("Input", "Wrapper"):
        from . import _hosts

        return getattr(_hosts, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
