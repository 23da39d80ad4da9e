"""Engines: identity models, opened once, used from any number of threads."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import _abi, errors
from ._calls import CancelEvent, Progress, long_call
from ._handle import Owner
from ._library import c_path, c_text, check, choice, lib, text
from .conditioning import Conditioning, ConditioningInput, HostLayer, Identities, layer_of, native_inputs
from .enums import (
    BadPhoto,
    Combine,
    Crop,
    DeviceType,
    EmbeddingForm,
    EmbedsScaling,
    EncoderKind,
    Injection,
    MaskMode,
    Precision,
    Strangers,
    WeightType,
)
from .identity import Identity, handle_of
from .lora import Lora
from .photos import Face, Photo, PhotoReport, Photos, face_of, native_photos, report_of
from .tensors import Slot, Tensor
from .types import FileSource, PhotoSource, TensorLike

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class EngineInfo:
    """What an engine is."""

    encoder: EncoderKind
    """The kind of model."""
    name: str
    """The model's name; empty if it has none."""
    fingerprint: str
    """Fingerprint of the model; its identities carry it."""
    host: str | None
    """The host's name; None if no host is known."""
    host_layer_count: int
    """Layers of the host; 0 if no host is known."""
    tokens: int
    """Identity tokens: of an identity for Omni-ID, of each photo otherwise."""
    token_width: int
    """Width of an identity token."""
    image_size: int
    """Side of the square picture that the image encoder sees, in pixels."""
    has_detector: bool
    """Whether faces can be detected."""
    has_adapter: bool
    """Whether the checkpoint holds an adapter, so that `condition` works."""
    has_image_encoder: bool
    """Whether the model reads an image encoder; models that read face embeddings only do not."""
    has_lora: bool
    """Whether a LoRA is part of the model, which the host has to apply; see `Engine.lora`."""
    face_dimension: int
    """Values of the face embedding that the model reads; 0 if it reads none."""
    face_form: EmbeddingForm
    """The form of that embedding."""
    face_network: str | None
    """The face recognition network that the model was trained with; None if it reads no face embedding."""
    face_recogniser: str | None
    """The engine's face recogniser; None if it has none."""
    face_recogniser_licence: str | None
    """What the authors of the face recogniser state about its use, or "unknown"; None if there is none."""
    device: str
    """`cpu` or `cuda:N`."""
    precision: Precision
    """Number type of the weights."""


class Encoded(NamedTuple):
    """What `encode` and `extend` give."""

    identity: Identity
    """The identity of all photos that could be used."""
    photos: tuple[PhotoReport, ...]
    """What became of each photo, in the order in which they were given."""


class PhotoFeatures(NamedTuple):
    """What `photo_features` gives."""

    features: npt.NDArray[np.float32]
    """`[photos, feature tokens, feature width]` of the photos that could be used."""
    photos: tuple[PhotoReport, ...]
    """What became of each photo, in the order in which they were given."""


class Likeness(NamedTuple):
    """How like a face is to the photos of an identity: cosines of face embeddings, -1 to 1. Those of different networks
    are not comparable."""

    mean: float
    """The mean over the photos."""
    best: float
    """To the photo that the face is most like."""
    photos: int
    """Photos of the identity that were compared."""


class Engine(Owner):
    """An identity model. Never changes; may be used from any number of threads at once.

    What it makes stays valid after it is closed.
    """

    __slots__ = ("_lora",)

    _lora: Lora | None

    @classmethod
    def open(
        cls,
        checkpoint: FileSource | None = None,
        *,
        image_encoder: FileSource | None = None,
        image_encoder_config: str | Mapping[str, object] | None = None,
        defer_image_encoder: bool = False,
        detector: FileSource | None = None,
        face_recogniser: FileSource | None = None,
        face_parser: FileSource | None = None,
        variant: str | None = None,
        host: str | None = None,
        host_layers: Iterable[HostLayer] | None = None,
        device: str = "cpu",
        precision: Precision | str = Precision.F32,
        max_pixels: int = 0,
        max_decoded_bytes: int = 0,
        max_photo_bytes: int = 0,
        max_header_bytes: int = 0,
        max_photos: int = 0,
        progress: Progress | None = None,
        cancel: CancelEvent | None = None,
    ) -> Engine:
        """Opens an identity model.

        `checkpoint` is a native Omni-ID checkpoint or a public IP-Adapter or XLabs file, safetensors or PyTorch,
        recognised by its content, or a folder with one. By default it is the small model inside the library, which
        brings its own face detector. `image_encoder` is the CLIP vision model that a public checkpoint needs: a file,
        an index of shards, or a folder as Hugging Face lays it out; `image_encoder_config` is its config.json, as text
        or dictionary, by default the file of that name beside it. With `defer_image_encoder` it is loaded when it is
        first needed: for programs that work with stored identities, or with features that they have made themselves.
        `detector` has the face detector's weights, by default the one in a native checkpoint, else the one inside the
        library.

        `face_recogniser` is the face recognition network that models of the FaceID family, InstantID, PuLID and
        WithAnyone read: `w600k_r50.onnx`, `glintr100.onnx` and others, ONNX, PyTorch or safetensors. `face_parser` is
        the network that makes the grey background of PuLID's crop, `parsing_bisenet.pth`. `variant` says which
        published model a checkpoint is where two have the same tensors: "faceid-plus" instead of "faceid-plus-v2",
        "faceid-portrait-unnorm" instead of "instantid".

        `host` is "sd15", "sdxl", "flux", "flux_all", "pulid_flux", "with_anyone" or "sd35_large", by default what the
        checkpoint is for; `host_layers` is the table of another host, in the order of the adapter in the checkpoint.
        `device` is "cpu", "cuda" or "cuda:N".

        The limits refuse files that are too large; 0 is the library's default: 100 million pixels and 1 GiB for a
        decoded photo, 256 MiB for an encoded one, 100 MB for a checkpoint's header, 4096 photos for an identity.
        """
        options = _abi.omniid_engine_options.new()
        keep: list[object] = []
        sources = {
            "checkpoint": checkpoint,
            "image_encoder": image_encoder,
            "detector": detector,
            "face_recogniser": face_recogniser,
            "face_parser": face_parser,
        }
        for name, source in sources.items():
            _fill_source(options, name, source, keep)
        options.variant = c_text(variant, "variant")
        if isinstance(image_encoder_config, Mapping):
            image_encoder_config = json.dumps(dict(image_encoder_config))
        options.image_encoder_config = c_text(image_encoder_config, "image_encoder_config")
        options.defer_image_encoder = bool(defer_image_encoder)
        options.host = c_text(host, "host")
        if host_layers is not None:
            table = _native_layers(host_layers)
            keep.append(table)
            options.host_layers, options.host_layer_count = table, len(table)
        options.device_type, options.device_id = _device(device)
        options.precision = choice(Precision, precision, "precision")
        limits = (max_pixels, max_decoded_bytes, max_photo_bytes, max_header_bytes, max_photos)
        names = ("max_pixels", "max_decoded_bytes", "max_photo_bytes", "max_header_bytes", "max_photos")
        for name, limit in zip(names, limits):
            if not 0 <= limit < 2**64:
                raise errors.InvalidArgumentError(
                    f"{name} is {limit}; it must be 1 to {2**64 - 1}, or 0 for the default"
                )
            setattr(options, name, limit)
        out = ctypes.POINTER(_abi.omniid_engine)()
        with long_call(progress, cancel) as (callback, checked):
            options.progress = callback
            checked(lib.omniid_engine_open(ctypes.byref(options), ctypes.byref(out)))
            # Inside: the end of the block may raise KeyboardInterrupt.
            self = cls._adopt(out, lib.omniid_engine_free)
            self._lora = None
            return self

    def close(self) -> None:
        """Frees it; if calls on other threads still use it, as soon as they end. May be called again."""
        super().close()
        self._lora = None

    @property
    def lora(self) -> Lora | None:
        """The LoRA that is part of the model, if it has one: the FaceID family has. The host must apply it."""
        handle = self._held()
        if self._lora is None:
            info = self.info
            if info.has_lora:
                self._lora = Lora(handle, info.fingerprint)
        return self._lora

    @property
    def info(self) -> EngineInfo:
        """What the engine is: its model, its host, where it computes."""
        handle = self._held()
        native = _abi.omniid_engine_info.new()
        check(lib.omniid_engine_describe(handle.pointer, ctypes.byref(native)))
        cuda = native.device_type == DeviceType.CUDA
        return EngineInfo(
            encoder=EncoderKind(native.encoder),
            name=text(native.name),
            fingerprint=text(native.fingerprint),
            host=_optional(native.host),
            host_layer_count=native.host_layer_count,
            tokens=native.tokens,
            token_width=native.token_width,
            image_size=native.image_size,
            has_detector=bool(native.has_detector),
            has_adapter=bool(native.has_adapter),
            has_image_encoder=bool(native.has_image_encoder),
            has_lora=bool(native.has_lora),
            face_dimension=native.face_dimension,
            face_form=EmbeddingForm(native.face_form),
            face_network=_optional(native.face_network),
            face_recogniser=_optional(native.face_recogniser),
            face_recogniser_licence=_optional(native.face_recogniser_licence),
            device=f"cuda:{native.device_id}" if cuda else "cpu",
            precision=Precision(native.precision),
        )

    @property
    def host_layers(self) -> tuple[HostLayer, ...]:
        """The layers of its host, in the order of the adapter; empty if no host is known."""
        handle = self._held()
        layers = []
        for i in range(self.info.host_layer_count):
            native = _abi.omniid_host_layer.new()
            check(lib.omniid_engine_host_layer(handle.pointer, i, ctypes.byref(native)))
            layers.append(layer_of(native))
        return tuple(layers)

    def detect_faces(
        self,
        photo: PhotoSource | Photo,
        *,
        score_threshold: float = 0.0,
        overlap_threshold: float = 0.0,
        side: int = 0,
        fine_side: int = 0,
        exhaustive: bool = False,
        upright_only: bool = False,
    ) -> list[Face]:
        """Finds the faces in a photo, the largest first. A photo without faces is no error.

        Options left at 0 have the library's defaults: the detector's own thresholds, a first search at 640 and a
        second, for small faces, at 1920 pixels. `exhaustive` makes the second search even if the first found faces;
        `upright_only` does not turn a photo without faces.
        """
        handle = self._held()
        photos, keep = native_photos(photo)
        if len(photos) != 1:
            raise errors.InvalidArgumentError(f"detect_faces takes one photo, not {len(photos)}")
        options = _abi.omniid_detect_options.new()
        options.score_threshold, options.overlap_threshold = score_threshold, overlap_threshold
        options.side, options.fine_side = side, fine_side
        options.exhaustive, options.upright_only = bool(exhaustive), bool(upright_only)
        found = ctypes.c_size_t()
        capacity = 16
        with long_call(None, None) as (_, checked):
            while True:
                faces = (_abi.omniid_face * capacity)()
                faces[0] = _abi.omniid_face.new()
                checked(
                    lib.omniid_engine_detect_faces(
                        handle.pointer, photos, ctypes.byref(options), faces, capacity, ctypes.byref(found)
                    )
                )
                if found.value <= capacity:
                    break
                capacity = found.value
        del keep
        return [face_of(face.score, list(face.bounds), list(face.landmarks)) for face in faces[: found.value]]

    def encode(
        self,
        photos: Photos,
        *,
        crop: Crop | str = Crop.DEFAULT,
        crop_margin: float | None = None,
        crop_scale: float = 0.0,
        batch_size: int = 0,
        bad_photo: BadPhoto | str = BadPhoto.SKIP,
        strangers: Strangers | str = Strangers.NOTE,
        drop_features: bool = False,
        combine: Combine | str = Combine.CONCATENATE,
        shortcut_scale: float | None = None,
        label: str | None = None,
        consent: str | None = None,
        progress: Progress | None = None,
        cancel: CancelEvent | None = None,
    ) -> Encoded:
        """Makes one identity of one or many photos of the same person.

        A photo is a path, the bytes of an image file, a Pillow image, an array `[height, width, channels]` of uint8
        or of floating point from 0 to 1, or a `Photo`, which also says which face is meant. A photo that cannot be
        used is left out and reported, unless `bad_photo="fail"`. Raises NoFaceError when no photo shows a face, and
        the first photo's own error when none could be used for other reasons.

        The photos are compared with each other. One that looks like somebody else is used and noted in its report;
        `strangers="leave_out"` leaves it out, and `"ignore"` does not compare. In photos with several faces the one is
        taken that looks like the other photos, unless the `Photo` says which.

        `crop_margin` is the margin on each side for `crop="face"`, as a share of the face's longer side; `crop_scale`
        the size of the template for `crop="aligned"`: 0.5 shows twice as much as 1. `batch_size` photos pass the image
        encoder together (default 4). `drop_features` makes a smaller identity; one of Omni-ID cannot be extended
        then.

        `combine` says how several photos become one identity in models that read each photo by itself: "concatenate"
        puts their tokens one after the other, "average" and the others make one embedding of all first.
        `shortcut_scale` is the weight of the picture beside the embedding in FaceID-PlusV2, 1 by default; other models
        refuse another number.
        """
        return self._encode(None, photos, crop, crop_margin, crop_scale, batch_size, bad_photo, strangers,
                            drop_features, combine, shortcut_scale, label, consent, progress, cancel)  # fmt: skip

    def extend(
        self,
        identity: Identity,
        photos: Photos,
        *,
        crop: Crop | str = Crop.DEFAULT,
        crop_margin: float | None = None,
        crop_scale: float = 0.0,
        batch_size: int = 0,
        bad_photo: BadPhoto | str = BadPhoto.SKIP,
        strangers: Strangers | str = Strangers.NOTE,
        drop_features: bool = False,
        combine: Combine | str = Combine.CONCATENATE,
        shortcut_scale: float | None = None,
        label: str | None = None,
        consent: str | None = None,
        progress: Progress | None = None,
        cancel: CancelEvent | None = None,
    ) -> Encoded:
        """Makes a new identity of an identity and more photos. Equal to encoding all photos at once, at the cost of
        the new ones. Arguments as for `encode`; label and consent are by default the identity's own."""
        return self._encode(identity, photos, crop, crop_margin, crop_scale, batch_size, bad_photo, strangers,
                            drop_features, combine, shortcut_scale, label, consent, progress, cancel)  # fmt: skip

    def photo_features(
        self,
        photos: Photos,
        *,
        crop: Crop | str = Crop.DEFAULT,
        crop_margin: float | None = None,
        crop_scale: float = 0.0,
        batch_size: int = 0,
        bad_photo: BadPhoto | str = BadPhoto.SKIP,
        strangers: Strangers | str = Strangers.NOTE,
        progress: Progress | None = None,
        cancel: CancelEvent | None = None,
    ) -> PhotoFeatures:
        """Runs the image encoder on photos, without the identity encoder. `identity_from_features` makes an identity of
        the result: the two together are `encode`, whose arguments and exceptions this call has.

        Features are the hidden states before the last layer, the class token first; for models that take an image
        embedding, that as one token."""
        handle = self._held()
        array, keep = native_photos(photos)
        options = _encode_options(crop, crop_margin, crop_scale, batch_size, bad_photo, strangers)
        report = ctypes.POINTER(_abi.omniid_report)()
        options.report = ctypes.pointer(report)

        out = ctypes.POINTER(_abi.omniid_managed_tensor)()
        with long_call(progress, cancel) as (callback, checked):
            options.progress = callback
            status = lib.omniid_photo_features(
                handle.pointer, array, len(array), ctypes.byref(options), ctypes.byref(out)
            )
            checked(status)
            del keep
            try:
                tensor = Tensor._of(lambda _: out)
                assert tensor is not None
                return PhotoFeatures(np.array(tensor.numpy()), _reports(report))
            finally:
                lib.omniid_report_free(report)

    def identity_from_features(
        self,
        features: TensorLike,
        *,
        drop_features: bool = False,
        combine: Combine | str = Combine.CONCATENATE,
        shortcut_scale: float | None = None,
        label: str | None = None,
        consent: str | None = None,
    ) -> Identity:
        """Makes an identity of the features of one or many photos of the same person: an array or tensor `[photos,
        feature tokens, feature width]` on the CPU, float32, float16 or bfloat16.

        They are those of `photo_features`, combined perhaps: their mean is one photo that lies between them. Or those
        that the program has made with the same image encoder itself. Raises MismatchError for another shape."""
        handle = self._held()
        pointer, keep = Slot().describe(features, "features", False, 1)
        options = _encode_options(
            drop_features=drop_features, combine=combine, shortcut_scale=shortcut_scale, label=label, consent=consent
        )
        out = ctypes.POINTER(_abi.omniid_identity)()
        check(lib.omniid_identity_from_features(handle.pointer, pointer, ctypes.byref(options), ctypes.byref(out)))
        del keep
        return Identity._of(out)

    def _encode(
        self,
        identity: Identity | None,
        photos: Photos,
        crop: Crop | str,
        crop_margin: float | None,
        crop_scale: float,
        batch_size: int,
        bad_photo: BadPhoto | str,
        strangers: Strangers | str,
        drop_features: bool,
        combine: Combine | str,
        shortcut_scale: float | None,
        label: str | None,
        consent: str | None,
        progress: Progress | None,
        cancel: CancelEvent | None,
    ) -> Encoded:
        handle = self._held()
        extended = None if identity is None else handle_of(identity, "identity")
        array, keep = native_photos(photos)
        options = _encode_options(
            crop, crop_margin, crop_scale, batch_size, bad_photo, strangers, drop_features, combine, shortcut_scale,
            label, consent,
        )  # fmt: skip
        report = ctypes.POINTER(_abi.omniid_report)()
        options.report = ctypes.pointer(report)
        out = ctypes.POINTER(_abi.omniid_identity)()
        with long_call(progress, cancel) as (callback, checked):
            options.progress = callback
            if extended is None:
                status = lib.omniid_encode(handle.pointer, array, len(array), ctypes.byref(options), ctypes.byref(out))
            else:
                status = lib.omniid_identity_extend(
                    handle.pointer, extended.pointer, array, len(array), ctypes.byref(options), ctypes.byref(out)
                )
            checked(status)
            del keep
            made = Identity._of(out)
            try:
                return Encoded(made, _reports(report))
            finally:
                lib.omniid_report_free(report)

    def condition(
        self,
        identities: Identities,
        *,
        weight_type: WeightType | str = WeightType.LINEAR,
        layer_scales: Sequence[float] | None = None,
        embeds_scaling: EmbedsScaling | str = EmbedsScaling.VALUES,
        mask_mode: MaskMode | str = MaskMode.COMFYUI,
        injection: Injection | str = Injection.ADD,
        zero_tokens: int = 0,
        normalise_values: bool = False,
        timesteps: Sequence[float] | None = None,
        precision: Precision | str = Precision.F32,
        composition_scale: float | None = None,
        style_boost: float | None = None,
        composition_boost: float | None = None,
        siglip_weight: float | None = None,
        progress: Progress | None = None,
        cancel: CancelEvent | None = None,
    ) -> Conditioning:
        """Projects the keys and values of one or several identities for every layer of the engine's host.

        `identities` is an Identity, a ConditioningInput, or a list of them. Each has its own softmax; their
        contributions are added. `weight_type` says how weights are spread over the layers, `layer_scales` is one more
        factor for each layer in the order of `host_layers`. `mask_mode` is whose rules for placing masks are followed,
        "comfyui" or "diffusers". `injection` is how an identity's attention joins the layer's output, `zero_tokens` the
        number of further tokens with zero keys and values in each softmax; `**omniid.pulid("fidelity")` sets both as
        PuLID does. `normalise_values` normalises the values of InstantX's FLUX adapter like its keys. `timesteps`
        are for SD3.5: the denoising timesteps, 0 to 1000, to compute keys and values for, one for each conditioning or
        all of the schedule. `precision` is the number type of the stored keys and values. `composition_scale`,
        `style_boost` and `composition_boost` are weights of the weight types that know them; default: the identity's
        scale. `siglip_weight` is the share of WithAnyone's second token set, 0 to 1, the first one has the rest;
        default: both count in full.
        """
        handle = self._held()
        array, inputs, keep = native_inputs(identities)
        options = _abi.omniid_conditioning_options.new()
        options.weight_type = choice(WeightType, weight_type, "weight_type")
        options.embeds_scaling = choice(EmbedsScaling, embeds_scaling, "embeds_scaling")
        options.mask_mode = choice(MaskMode, mask_mode, "mask_mode")
        options.injection = choice(Injection, injection, "injection")
        options.zero_tokens = int(zero_tokens)
        options.normalise_values = int(bool(normalise_values))
        if timesteps is not None:
            numbers = np.ascontiguousarray(timesteps, dtype=np.float32).reshape(-1)
            timesteps = numbers.tolist()
            keep.append(numbers)
            options.timesteps = numbers.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            options.timestep_count = numbers.size
        options.precision = choice(Precision, precision, "precision")
        if layer_scales is not None:
            scales = np.ascontiguousarray(layer_scales, dtype=np.float32).reshape(-1)
            keep.append(scales)
            options.layer_scales = scales.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            options.layer_scale_count = scales.size
        for name, weight in (
            ("composition_scale", composition_scale),
            ("style_boost", style_boost),
            ("composition_boost", composition_boost),
            ("siglip_weight", siglip_weight),
        ):
            if weight is not None:
                setattr(options, name, ctypes.pointer(ctypes.c_float(weight)))
        out = ctypes.POINTER(_abi.omniid_conditioning)()
        with long_call(progress, cancel) as (callback, checked):
            options.progress = callback
            status = lib.omniid_conditioning_create(
                handle.pointer, array, len(inputs), ctypes.byref(options), ctypes.byref(out)
            )
            checked(status)
            del keep
            steps = () if timesteps is None else timesteps
            return Conditioning._of(out, inputs, Injection(options.injection), options.zero_tokens, steps, self.lora)

    def similarity(self, first: Identity, second: Identity) -> float:
        """Compares two identities of this engine's model: cosine similarity, -1 to 1, centred on the model's average
        identity and in the directions that tell people apart, as far as the checkpoint has them."""
        handle = self._held()
        a, b = handle_of(first, "first"), handle_of(second, "second")
        out = ctypes.c_float()
        check(lib.omniid_identity_similarity(handle.pointer, a.pointer, b.pointer, ctypes.byref(out)))
        return out.value

    def face_embedding(self, photo: PhotoSource | Photo) -> npt.NDArray[np.float32]:
        """The raw embedding of the face in a photo, `[dimension]`, by the engine's face recogniser: of the largest
        face, unless the `Photo` says which. Raises UnsupportedError without a recogniser and NoFaceError without a
        face."""
        return self._face_vector(photo, "face_embedding")

    def histogram_vector(self, photo: PhotoSource | Photo) -> npt.NDArray[np.float32]:
        """A vector of the face in a photo by its histograms of oriented gradients, `[directions]`, of length 1: the dot
        product of two says whether two photos show one person, about 0 for strangers. Of the largest face, unless the
        `Photo` says which. Raises UnsupportedError for a checkpoint without such directions and NoFaceError without a
        face."""
        return self._face_vector(photo, "histogram_vector")

    def _face_vector(self, photo: PhotoSource | Photo, name: str) -> npt.NDArray[np.float32]:
        """What the library's function `omniid_{name}` hands out of the face in a photo."""
        handle = self._held()
        photos, keep = _one_photo(photo, name)
        out = ctypes.POINTER(_abi.omniid_managed_tensor)()
        with long_call(None, None) as (_, checked):
            checked(getattr(lib, f"omniid_{name}")(handle.pointer, photos, ctypes.byref(out)))
        del keep
        tensor = Tensor._of(lambda _: out)
        assert tensor is not None
        return np.array(tensor.numpy())

    def likeness(self, identity: Identity, photo: PhotoSource | Photo) -> Likeness:
        """How like the face in a picture is to a person, by the engine's face recogniser: a measure for what a host has
        generated. Any model will do; the identity must have been made with the same recogniser, or of embeddings of its
        network. Of several faces the one counts that is most like, unless the `Photo` says which."""
        handle, compared = self._held(), handle_of(identity, "identity")
        photos, keep = _one_photo(photo, "likeness")
        native = _abi.omniid_likeness.new()
        with long_call(None, None) as (_, checked):
            checked(lib.omniid_likeness_of(handle.pointer, compared.pointer, photos, ctypes.byref(native)))
        del keep
        return Likeness(float(native.mean), float(native.best), int(native.photos))

    def context_tokens(self, identity: Identity) -> Tensor:
        """The tokens of an identity for a host that reads them itself, as InstantID's ControlNet does in place of a
        prompt: float32 `[2, tokens, token_width]`, without a copy; first the unconditional side, then the identity."""
        handle, read = self._held(), handle_of(identity, "identity")

        def source(_: int) -> ctypes._Pointer[_abi.omniid_managed_tensor]:
            out = ctypes.POINTER(_abi.omniid_managed_tensor)()
            check(lib.omniid_identity_context_tokens(handle.pointer, read.pointer, ctypes.byref(out)))
            return out

        tensor = Tensor._of(source)
        assert tensor is not None
        return tensor

    def comparison_vector(self, identity: Identity) -> Tensor:
        """The vector by which an identity is compared: float32 `[length]`, of length 1, without a copy. It is what an
        index of many people stores.

        The dot product of two such vectors is the `similarity` of their identities. Vectors of one checkpoint belong
        together: another checkpoint may compare in other directions although its tokens are the same.
        """
        handle, compared = self._held(), handle_of(identity, "identity")

        def source(_: int) -> ctypes._Pointer[_abi.omniid_managed_tensor]:
            out = ctypes.POINTER(_abi.omniid_managed_tensor)()
            check(lib.omniid_identity_comparison_vector(handle.pointer, compared.pointer, ctypes.byref(out)))
            return out

        tensor = Tensor._of(source)
        assert tensor is not None
        return tensor

    def __repr__(self) -> str:
        if self.closed:
            return "Engine(closed)"
        info = self.info
        return f"Engine({info.name!r}, {info.encoder.name.lower()}, host={info.host!r}, device={info.device!r})"


def _one_photo(photo: PhotoSource | Photo, what: str) -> tuple[ctypes.Array[_abi.omniid_photo], list[object]]:
    photos, keep = native_photos(photo)
    if len(photos) != 1:
        raise errors.InvalidArgumentError(f"{what} takes one photo, not {len(photos)}")
    return photos, keep


def _optional(native: bytes | None) -> str | None:
    return None if native is None else text(native)


def _encode_options(
    crop: Crop | str = Crop.DEFAULT,
    crop_margin: float | None = None,
    crop_scale: float = 0.0,
    batch_size: int = 0,
    bad_photo: BadPhoto | str = BadPhoto.SKIP,
    strangers: Strangers | str = Strangers.NOTE,
    drop_features: bool = False,
    combine: Combine | str = Combine.CONCATENATE,
    shortcut_scale: float | None = None,
    label: str | None = None,
    consent: str | None = None,
) -> _abi.omniid_encode_options:
    if not 0 <= batch_size < 2**32:
        raise errors.InvalidArgumentError(f"batch_size is {batch_size}; it must be 1 to {2**32 - 1}, or 0 for 4")
    options = _abi.omniid_encode_options.new()
    options.crop = choice(Crop, crop, "crop")
    if crop_margin is not None:
        if not crop_margin >= 0:
            raise errors.InvalidArgumentError(f"crop_margin is {crop_margin}; it must be 0 to 4")
        options.crop_margin = crop_margin
    options.crop_scale = crop_scale
    options.batch_size = batch_size
    options.bad_photo = choice(BadPhoto, bad_photo, "bad_photo")
    options.strangers = choice(Strangers, strangers, "strangers")
    options.drop_features = bool(drop_features)
    options.combine = choice(Combine, combine, "combine")
    if shortcut_scale is not None:
        options.has_shortcut_scale, options.shortcut_scale = 1, shortcut_scale
    options.label, options.consent = c_text(label, "label"), c_text(consent, "consent")
    return options


def _fill_source(options: _abi.omniid_engine_options, name: str, source: FileSource | None, keep: list[object]) -> None:
    if source is None:
        return
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        keep.append(data)
        setattr(options, f"{name}_data", ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p))
        setattr(options, f"{name}_size", len(data))
    elif isinstance(source, (str, os.PathLike)):
        setattr(options, f"{name}_path", c_path(source, name))
    else:
        raise errors.InvalidArgumentError(f"{name} is of type {type(source).__name__}; it must be a path or bytes")


def _native_layers(layers: Iterable[HostLayer]) -> ctypes.Array[_abi.omniid_host_layer]:
    table = list(layers)
    array = (_abi.omniid_host_layer * len(table))()
    for native, layer in zip(array, table):
        native.struct_size = ctypes.sizeof(_abi.omniid_host_layer)
        native.heads, native.head_dim, native.context = layer.heads, layer.head_dim, layer.context
        native.hidden = layer.hidden
        native.name = c_text(layer.name, "the name of a host layer")
    return array


def _device(name: str) -> tuple[int, int]:
    kind, _, number = str(name).partition(":")
    if kind == "cpu" and not number:
        return DeviceType.CPU, 0
    if kind == "cuda" and (not number or number.isdigit()) and int(number or 0) < 2**31:
        return DeviceType.CUDA, int(number or 0)
    raise errors.InvalidArgumentError(f"device is {name!r}; it must be 'cpu', 'cuda' or 'cuda:N'")


def _reports(report: ctypes._Pointer[_abi.omniid_report]) -> tuple[PhotoReport, ...]:
    count = ctypes.c_size_t()
    check(lib.omniid_report_photo_count(report, ctypes.byref(count)))
    reports = []
    for i in range(count.value):
        native = _abi.omniid_photo_report.new()
        check(lib.omniid_report_photo(report, i, ctypes.byref(native)))
        reports.append(report_of(native))
    return tuple(reports)


__all__ = ["ConditioningInput", "Encoded", "Engine", "EngineInfo", "Likeness", "PhotoFeatures"]
