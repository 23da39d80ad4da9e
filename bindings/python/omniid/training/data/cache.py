"""Latents of targets and embeddings of prompts, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ... import errors
from ..checkpoint import write_file
from .people import Person, Picture
from .pictures import cut, decode, to_tensor
from .steps import PictureSizes


class Cache:
    """Tensors by key, one small file each, in folders by the first two letters of the key's hash. Several processes may
    write at once: whoever is last wins, with the same numbers."""

    def __init__(self, folder: Path, about: str) -> None:
        """`about` says what the numbers depend on beside the key: another host or size has other files."""
        self._folder, self._about = folder, about

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(f"{self._about}\n{key}".encode()).hexdigest()
        return self._folder / name[:2] / f"{name[2:34]}.safetensors"

    def get(self, key: str) -> Optional[dict[str, torch.Tensor]]:
        """The tensors of a key; None when they are not there, or the file is broken."""
        try:
            return load(self._path(key).read_bytes())
        except (OSError, SafetensorError):
            return None

    def put(self, key: str, tensors: dict[str, torch.Tensor]) -> None:
        """Keeps the tensors of a key. Raises IoError."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.IoError(f"{path.parent}: {error.strerror}") from error
        write_file(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}))

    def has(self, key: str) -> bool:
        """Whether there is a file of the key."""
        return os.path.exists(self._path(key))


def picture_key(picture: Picture, sizes: PictureSizes, grey: bool, mirrored: bool) -> str:
    """What the latents of a target depend on."""
    try:
        stamp = os.stat(picture.path).st_mtime_ns
    except OSError as error:
        raise errors.IoError(f"{picture.path}: {error.strerror}") from error
    place = f"{os.path.abspath(picture.path)}\n{stamp}\n{picture.offset}"
    return f"latent\n{place}\n{sizes.target_size}\n{sizes.target_margin}\n{picture.face}\n{grey}\n{mirrored}"


def variants(grey: bool, mirror: bool) -> list[tuple[bool, bool]]:
    """Grey and mirrored, as a run may draw them."""
    return [(g, m) for g in ((False, True) if grey else (False,)) for m in ((False, True) if mirror else (False,))]


def fill_latents(
    cache: Cache,
    people: Sequence[Person],
    sizes: PictureSizes,
    encode: Callable[[torch.Tensor], torch.Tensor],
    kinds: Sequence[tuple[bool, bool]],
    *,
    process: int = 0,
    processes: int = 1,
    batch: int = 4,
    progress: Optional[Callable[[int, int], None]] = None,
) -> None:
    """Computes what is missing of the latents of all pictures of `people`; each process its share of the people."""
    mine = people[process::processes]
    total = sum(len(person.pictures) for person in mine)
    done = 0
    waiting: list[tuple[str, torch.Tensor]] = []

    def flush() -> None:
        if waiting:
            latents = encode(torch.stack([picture for _, picture in waiting]))
            for (key, _), latent in zip(waiting, latents):
                cache.put(key, {"latent": latent.float().cpu()})
            waiting.clear()

    for person in mine:
        for picture in person.pictures:
            keys = [(picture_key(picture, sizes, *kind), kind) for kind in kinds]
            missing = [(key, kind) for key, kind in keys if not cache.has(key)]
            if missing:
                image, _ = cut(decode(picture), picture.face, sizes.target_margin, sizes.target_size)
                for key, (grey, mirrored) in missing:
                    waiting.append((key, to_tensor(image, grey, mirrored) * 2 - 1))
                    if len(waiting) == batch:
                        flush()
            done += 1
            if progress is not None:
                progress(done, total)
    flush()


def fill_prompts(
    cache: Cache, prompts: Iterable[str], encode: Callable[[Sequence[str]], list[dict[str, torch.Tensor]]]
) -> None:
    """Computes what is missing of the embeddings of prompts."""
    for prompt in sorted(set(prompts)):
        if not cache.has(f"prompt\n{prompt}"):
            found = encode([prompt])[0]
            cache.put(f"prompt\n{prompt}", found or {"nothing": torch.zeros(1)})


def prompt_rows(cache: Cache, prompts: Sequence[str]) -> dict[str, Any]:
    """The embeddings of prompts, a row for each; shorter ones are filled up with zeros. Raises IoError for one that is
    not there."""
    found = []
    for prompt in prompts:
        tensors = cache.get(f"prompt\n{prompt}")
        if tensors is None:
            raise errors.IoError(f"the embedding of the prompt {prompt!r} is not in the cache")
        tensors.pop("nothing", None)
        found.append(tensors)
    rows = {}
    for name in found[0] if found else ():
        parts = [tensors[name] for tensors in found]
        longest = max(part.shape[0] for part in parts)
        if parts[0].ndim > 1:
            parts = [torch.nn.functional.pad(part, (0, 0, 0, longest - part.shape[0])) for part in parts]
        rows[name] = torch.stack(parts)
    return rows
