"""Identities: what a model makes of one person's photos."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _abi, errors
from ._handle import Handle, Owner
from ._library import c_path, c_text, check, choice, lib, natural, text
from .enums import Combine, EmbeddingForm, EncoderKind, Precision
from .faces import FaceEmbedding
from .tensors import Slot, Tensor
from .types import Buffer, PathLike, TensorLike


@dataclass(frozen=True)
class IdentityInfo:
    """What is known about an identity."""

    encoder: EncoderKind
    """The kind of model that made it."""
    tokens: int
    """Number of tokens."""
    token_width: int
    """Width of a token."""
    photos: int
    """Photos that went in."""
    features: int
    """Photos whose features were kept, so that an Omni-ID identity can be extended: all or none."""
    model: str
    """Fingerprint of the model that made it."""
    label: str
    """A name to show; may be empty."""
    created: str
    """When it was made: UTC, RFC 3339."""
    consent: str
    """What the person agreed to; may be empty."""
    embeddings: int
    """Photos whose face embeddings are kept; see `Identity.embedding`."""
    combine: Combine
    """How the photos were combined."""
    shortcut_scale: float
    """The shortcut scale of FaceID-PlusV2 that it was made with; 1 for other models."""


class Identity(Owner):
    """The identity tokens of one person. Never changes; may be used from any number of threads at once.

    Made by `Engine.encode`, `Engine.extend`, `Identity.load` and `Identity.from_bytes`.
    """

    __slots__ = ()

    @classmethod
    def _of(cls, pointer: ctypes._Pointer[Any]) -> Identity:
        return cls._adopt(pointer, lib.omniid_identity_free)

    @classmethod
    def load(cls, path: PathLike) -> Identity:
        """Reads an `.omniid` file."""
        out = ctypes.POINTER(_abi.omniid_identity)()
        check(lib.omniid_identity_load(c_path(path, "path"), ctypes.byref(out)))
        return cls._of(out)

    @classmethod
    def from_bytes(cls, data: Buffer) -> Identity:
        """Reads the bytes of an `.omniid` file."""
        data = bytes(data)
        out = ctypes.POINTER(_abi.omniid_identity)()
        check(lib.omniid_identity_from_bytes(data, len(data), ctypes.byref(out)))
        return cls._of(out)

    def save(self, path: PathLike, precision: Precision | str = Precision.F32) -> None:
        """Writes it to a file, as f32 or, at half the size, f16. The file appears complete or not at all."""
        handle = self._held()
        precision = choice(Precision, precision, "precision")
        check(lib.omniid_identity_save(handle.pointer, c_path(path, "path"), precision))

    def to_bytes(self, precision: Precision | str = Precision.F32) -> bytes:
        """What `save` writes into a file."""
        handle = self._held()
        precision = choice(Precision, precision, "precision")
        size = ctypes.c_size_t()
        check(lib.omniid_identity_to_bytes(handle.pointer, precision, None, 0, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        check(lib.omniid_identity_to_bytes(handle.pointer, precision, buffer, size.value, ctypes.byref(size)))
        return buffer.raw[: size.value]

    @property
    def info(self) -> IdentityInfo:
        """What is known about it."""
        handle = self._held()
        native = _abi.omniid_identity_info.new()
        check(lib.omniid_identity_describe(handle.pointer, ctypes.byref(native)))
        return IdentityInfo(
            encoder=EncoderKind(native.encoder),
            tokens=native.tokens,
            token_width=native.token_width,
            photos=native.photos,
            features=native.features,
            model=text(native.model),
            label=text(native.label),
            created=text(native.created),
            consent=text(native.consent),
            embeddings=native.embeddings,
            combine=Combine(native.combine),
            shortcut_scale=native.shortcut_scale,
        )

    @property
    def label(self) -> str:
        """A name to show; may be empty."""
        return self.info.label

    def embedding(self, photo: int) -> FaceEmbedding | None:
        """The face embedding of one of its photos, copied; None when nothing is known of that photo's face, or features
        were not kept. `photo` counts from 0 to one less than `IdentityInfo.photos`."""
        handle = self._held()
        native = _abi.omniid_embedding.new()
        check(lib.omniid_identity_embedding(handle.pointer, natural(photo, "photo"), ctypes.byref(native)))
        if not native.values:
            return None
        values = np.ctypeslib.as_array(native.values, shape=(native.size,)).copy()
        return FaceEmbedding(values, text(native.network), EmbeddingForm(native.form))

    def tokens(self) -> Tensor:
        """The tokens, float32 `[tokens, token_width]`, without a copy. They stay valid after the identity is closed."""
        handle = self._held()

        def source(_: int) -> ctypes._Pointer[_abi.omniid_managed_tensor]:
            out = ctypes.POINTER(_abi.omniid_managed_tensor)()
            check(lib.omniid_identity_tokens(handle.pointer, ctypes.byref(out)))
            return out

        tensor = Tensor._of(source)
        assert tensor is not None
        return tensor

    def copy_tokens(self, out: TensorLike) -> None:
        """Copies the tokens into an array or tensor of yours: `[tokens, token_width]` on the CPU, float32, float16 or
        bfloat16, any strides."""
        handle = self._held()
        pointer, keep = Slot().describe(out, "out", True, 1)
        check(lib.omniid_identity_copy_tokens(handle.pointer, pointer))
        del keep

    def with_notes(self, label: str | None = None, consent: str | None = None) -> Identity:
        """A copy with another label and consent note; None keeps the one it has."""
        handle = self._held()
        out = ctypes.POINTER(_abi.omniid_identity)()
        check(
            lib.omniid_identity_with_notes(
                handle.pointer, c_text(label, "label"), c_text(consent, "consent"), ctypes.byref(out)
            )
        )
        return self._of(out)

    def without_features(self) -> Identity:
        """A copy without the photos' features and face embeddings: smaller, but one of a model that reads all photos at
        once cannot be extended any more, and none compared by a face recogniser."""
        handle = self._held()
        out = ctypes.POINTER(_abi.omniid_identity)()
        check(lib.omniid_identity_without_features(handle.pointer, ctypes.byref(out)))
        return self._of(out)

    def __repr__(self) -> str:
        if self.closed:
            return "Identity(closed)"
        info = self.info
        name = f"{info.label!r}, " if info.label else ""
        return f"Identity({name}{info.photos} photos, {info.tokens} tokens of {info.token_width})"


def handle_of(value: Identity, what: str) -> Handle:
    """The handle of an identity that is an argument."""
    if not isinstance(value, Identity):
        raise errors.InvalidArgumentError(f"{what} is of type {type(value).__name__}; it must be an Identity")
    return value._held()
