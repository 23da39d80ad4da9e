"""Writing a model of diffusers as a graph with identity inputs."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Optional

import torch

from .. import errors
from ..diffusers import _layers, _watch
from ..engine import Engine
from ..types import PathLike
from . import _hosts, _weights
from ._attention import GraphIdentity
from ._manifest import FORMS, GraphLayer, Manifest

Progress = Callable[[str, float], None]
"""What is being done, and the share of it that is done."""

_LOWEST_OPSET, _HIGHEST_OPSET = 14, 20
TOKENS, PEOPLE = "identity_tokens", "people"


def export(
    target: _layers.Target,
    path: PathLike,
    *,
    opset: int = 15,
    precision: str = "f32",
    mask: bool = True,
    adapter: Optional[_layers.Adapter] = None,
    form: str = "keys_values",
    checkpoint: Optional[PathLike] = None,
    engine: Optional[Engine] = None,
    rows: Optional[int] = None,
    size: Optional[tuple[int, int]] = None,
    text_tokens: Optional[int] = None,
    tokens: Optional[int] = None,
    external: Optional[bool] = None,
    identity: bool = True,
    wrapper: Optional[_hosts.Wrapper] = None,
    progress: Optional[Progress] = None,
) -> Optional[Manifest]:
    """Writes a model as an ONNX graph whose attention layers take an identity, and its manifest beside it.

    `target` is a pipeline of diffusers or its UNet or transformer: Stable Diffusion 1.x, SDXL, FLUX, SD3.5, or a model
    of the same design in any size. What is loaded into it is written with it; a LoRA must be fused.

    The graph has the model's own inputs, then keys `ip_k.{layer}` and values `ip_v.{layer}`, `[rows, heads, tokens,
    head_dim]`, for each layer, then `ip_scale`, f32 `[layers]`, and with `mask` also `ip_mask` `[rows, people, height,
    width]`: a mask for each person, of any size, which the graph resamples for each layer by bicubic interpolation, as
    diffusers does. The tokens are those of all people, as many of each; without `mask` they are those of one.

    `opset` is 14 to 20. 15 is what Unity's Inference Engine wants; the operators are all on its list. `precision` is
    "f32" or "f16", of weights, inputs and outputs; time steps and the scale stay f32. `rows`, `size` (height and width
    of the latent picture), `text_tokens` and `tokens` fix sizes that are free by default. `adapter` is "xlabs" or
    "instantx" for FLUX. SD3.5 needs the file of InstantX' adapter as `checkpoint`: its norms of the image's queries and
    keys become part of the graph. `external`: whether the weights get a file of their own, `<graph>.data`; by default
    where they are larger than 1.5 GB. `identity=False` writes the graph without identity inputs and without a manifest.

    `form="tokens"` puts the adapter into the graph: in place of keys and values the graph has one input `ip_tokens`
    `[rows, tokens, width]`, which `fill` fills as well. `checkpoint` is the adapter's file then, native, IP-Adapter or
    XLabs, and `engine` the engine that was opened with it, whose fingerprint the manifest keeps.

    `wrapper` is a module around the UNet whose inputs the graph has in place of the UNet's.

    Needs PyTorch, diffusers and onnx, and memory for the weights once more where they are not of `precision` yet.
    Raises UnsupportedError for models and options that it does not know.
    """
    say: Progress = progress or (lambda _, __: None)
    if not _LOWEST_OPSET <= opset <= _HIGHEST_OPSET:
        raise errors.InvalidArgumentError(f"opset is {opset}; it must be {_LOWEST_OPSET} to {_HIGHEST_OPSET}")
    if form not in FORMS:
        raise errors.InvalidArgumentError(f"form is {form!r}; it must be 'keys_values' or 'tokens'")
    if precision not in ("f32", "f16"):
        raise errors.UnsupportedError(f"precision is {precision!r}; graphs are written in 'f32' or 'f16'")
    place = Path(path)
    if not place.parent.is_dir():
        raise errors.IoError(f"{place.parent}: no such folder")
    model: Any = _layers.model_of(target)[0]
    root = model if wrapper is None else wrapper.module
    with ExitStack() as stack:
        dtype = torch.float32 if precision == "f32" else torch.float16
        stack.enter_context(_evaluated(root, dtype))
        host = _hosts.describe(model, _hosts.Sizes(rows, size, text_tokens), wrapper)
        stack.enter_context(_plain_modules(model))
        graph = _Graph(root, host, rows, tokens, mask)
        if identity:
            stack.enter_context(_identity_in(graph, model, adapter, form, checkpoint))
            graph.projections.to(dtype)
        say("tracing", 0.0)
        proto = _trace(graph, opset)
        say("tracing", 1.0)
        from . import _write

        found = _write.take_weights(proto.graph, graph.state_dict())
        _write.name_sizes(proto.graph, graph.free)
        proto.producer_name, proto.producer_version = "omniid", ""
        _write.save(proto, found, place, external, say)
    if graph.layers is None:
        return None
    manifest = Manifest(
        graph=place.name, host=host.name, form=form, precision=precision, layers=graph.layers, rows=rows,
        tokens=tokens, width=graph.width, mask="ip_mask" if mask else None,
        tokens_input="ip_tokens" if form == "tokens" else None,
        fingerprint=engine.info.fingerprint if engine is not None and form == "tokens" else None,
    )  # fmt: skip
    manifest.save(place)
    return manifest


class _Graph(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """A model that takes the identity as inputs, in the order of the graph."""

    def __init__(self, model: Any, host: _hosts.Host, rows: Optional[int], tokens: Optional[int], mask: bool) -> None:
        super().__init__()
        self.model, self._host = model, host
        self._rows, self._tokens, self._mask = rows, tokens, mask
        self.layers: Optional[tuple[GraphLayer, ...]] = None
        self.identity: Optional[GraphIdentity] = None
        self.projections = torch.nn.Module()
        self.width: Optional[int] = None
        self.examples = {item.name: item.example for item in host.inputs}
        self.free = {item.name: item.free for item in host.inputs}
        self.free[host.output] = host.output_free
        self.output = host.output

    def take_identity(
        self, layers: tuple[GraphLayer, ...], identity: GraphIdentity, projections: Optional[_weights.Projections]
    ) -> None:
        """Adds the identity's inputs."""
        self.layers, self.identity = layers, identity
        first = next(iter(self.examples.values()))
        batch, kind = first.shape[0], first.dtype
        people = 2 if self._mask else 1
        count = self._tokens or 3 * people
        free = {} if self._rows else {0: _hosts.ROWS}
        if projections is not None:
            self.projections, self.width = projections, projections.width
            self.examples["ip_tokens"] = torch.zeros(batch, count, projections.width, dtype=kind)
            self.free["ip_tokens"] = free if self._tokens else {**free, 1: TOKENS}
        for layer in layers if projections is None else ():
            for name in (layer.key, layer.value):
                assert name is not None
                self.examples[name] = torch.zeros(batch, layer.heads, count, layer.head_dim, dtype=kind)
                self.free[name] = free if self._tokens else {**free, 2: TOKENS}
        self.examples["ip_scale"] = torch.ones(len(layers))
        self.free["ip_scale"] = {}
        if self._mask:
            self.examples["ip_mask"] = torch.ones(batch, people, 5, 9, dtype=kind)
            self.free["ip_mask"] = {**free, 1: PEOPLE, 2: "mask_height", 3: "mask_width"}

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        count = len(self._host.inputs)
        own = inputs[:count]
        if self.identity is not None and self.layers is not None:
            more = dict(zip(list(self.examples)[count:], inputs[count:]))
            if "ip_tokens" in more:
                keys, values = self.projections(more["ip_tokens"])
            else:
                keys = {layer.name: more[layer.key] for layer in self.layers if layer.key}
                values = {layer.name: more[layer.value] for layer in self.layers if layer.value}
            size = self._host.image_size(*own)
            self.identity.begin(keys, values, more["ip_scale"], more.get("ip_mask"), size)
        return self._host.call(*own)


@contextmanager
def _identity_in(
    graph: _Graph, model: Any, adapter: Optional[_layers.Adapter], form: str, checkpoint: Optional[PathLike]
) -> Iterator[None]:
    """The identity's attention in a model, for as long as it lasts."""
    if adapter in ("pulid", "with_anyone"):
        raise errors.UnsupportedError(
            f"adapter {adapter!r} acts on the residual stream with weights of its own; graphs have keys and values for "
            "attention layers only"
        )
    if _watch.watchers(model):
        raise errors.InvalidArgumentError("an identity is attached to the model; detach() it before the export")
    table = _layers.host_layers(model, adapter)
    named = form == "keys_values"
    layers = tuple(
        GraphLayer(
            item.name,
            item.heads,
            item.head_dim,
            f"ip_k.{item.name}" if named else None,
            f"ip_v.{item.name}" if named else None,
        )
        for item in table
    )
    norms = projections = None
    if form == "tokens":
        if checkpoint is None:
            raise errors.InvalidArgumentError(
                "form 'tokens' puts the adapter into the graph: pass its file as checkpoint"
            )
        if adapter == "instantx" or _layers.is_sd3(model):
            raise errors.UnsupportedError(
                "form 'tokens' is for IP-Adapter, XLabs and Omni-ID; InstantX' adapters need form 'keys_values'"
            )
        projections = _weights.Projections(checkpoint, layers, [item.context for item in table])
    if _layers.is_sd3(model):
        if checkpoint is None:
            raise errors.InvalidArgumentError(
                "an SD3 graph holds the norms of InstantX' IP-Adapter: pass its file as checkpoint"
            )
        norms = _weights.norms(checkpoint, layers)
    attention = GraphIdentity(model, layers, adapter, norms)
    graph.take_identity(layers, attention, projections)
    try:
        yield
    finally:
        attention.remove()


def _trace(graph: _Graph, opset: int) -> Any:
    import onnx

    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter warns of its age, and of sizes that become constants: all of them are fixed sizes of the model.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            tuple(graph.examples.values()),
            buffer,
            opset_version=opset,
            # The newer exporter writes no opset below 18.
            dynamo=False,
            export_params=False,
            do_constant_folding=False,
            input_names=list(graph.examples),
            output_names=[graph.output],
            dynamic_axes={name: free for name, free in graph.free.items() if free},
        )
    return onnx.load_model_from_string(buffer.getvalue())


@contextmanager
def _evaluated(model: Any, dtype: torch.dtype) -> Iterator[None]:
    """The model in evaluation mode and of another number type, and afterwards as it was."""
    training = model.training
    tensors = [t for t in [*model.parameters(), *model.buffers()] if t.is_floating_point() and t.dtype != dtype]
    before = [tensor.data for tensor in tensors]
    model.eval()
    try:
        for tensor in tensors:
            tensor.data = tensor.data.to(dtype)
        yield
    finally:
        for tensor, data in zip(tensors, before):
            tensor.data = data
        model.train(training)


@contextmanager
def _plain_modules(model: Any) -> Iterator[None]:
    """The model with modules that the exporter and runtimes do not have written out in plain operators."""
    changed = []
    for module in model.modules():
        forward: Optional[Callable[[torch.Tensor], Any]] = None
        if type(module).__name__ == "FluxPosEmbed":
            forward = partial(_rotary, module)
        elif isinstance(module, torch.nn.RMSNorm):
            forward = partial(_rms_norm, module)
        if forward is not None:
            module.forward = forward
            changed.append(module)
    # The function of the model's own file that rotates queries and keys: it takes the batch's size for a constant.
    place = sys.modules[type(model).__module__]
    rotate = getattr(place, "apply_rotary_emb", None)
    if rotate is not None:
        setattr(place, "apply_rotary_emb", _rotate)  # noqa: B010
    try:
        yield
    finally:
        for module in changed:
            del module.forward
        if rotate is not None:
            setattr(place, "apply_rotary_emb", rotate)  # noqa: B010


def _rotate(x: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor], sequence_dim: int = 1) -> torch.Tensor:
    """Queries or keys `[rows, tokens, heads, head_dim]`, turned by the angles of their tokens, as FLUX does."""
    assert sequence_dim == 1
    cosine, sine = (part[None, :, None, :] for part in rotary)
    wide = x.float()
    turned = torch.stack([-wide[..., 1::2], wide[..., 0::2]], dim=-1).flatten(-2)
    return (wide * cosine + turned * sine).to(x.dtype)


def _rotary(module: Any, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and sine of FLUX' rotary positions, without double precision, which few runtimes have."""
    angles = []
    for axis, width in enumerate(module.axes_dim):
        exponents = torch.arange(0, width, 2, dtype=torch.float64) / width
        angles.append(ids[:, axis : axis + 1].float() * (module.theta**-exponents).float())
    angle = torch.cat(angles, dim=1)
    # Each number counts for two neighbours.
    cosine, sine = (torch.stack([x, x], dim=-1).flatten(1) for x in (angle.cos(), angle.sin()))
    return cosine, sine


def _rms_norm(module: torch.nn.RMSNorm, x: torch.Tensor) -> torch.Tensor:
    wide = x.float()
    eps = torch.finfo(x.dtype).eps if module.eps is None else module.eps
    dims = list(range(-len(module.normalized_shape), 0))
    normed = wide * torch.rsqrt(wide.square().mean(dims, keepdim=True) + eps)
    if module.weight is not None:
        normed = normed * module.weight.float()
    return normed.to(x.dtype)
