"""Files of tensors (safetensors), read and joined as bytes: no number is converted."""

import hashlib
import json
import os
import struct
from pathlib import Path


def read(path):
    """Tensors by name: number type, shape and bytes."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    return {
        name: (entry["dtype"], entry["shape"], bytes(body[slice(*entry["data_offsets"])]))
        for name, entry in header.items()
        if name != "__metadata__"
    }


def write(path, tensors):
    """Writes tensors as `read` gives them; a file that is there is replaced at once or not at all."""
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    beside = Path(f"{path}.new")
    with open(beside, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for _, _, data in tensors.values():
            file.write(data)
    os.replace(beside, path)


def fingerprint(tensors):
    """A short text that is the same for the same names, shapes and bytes only."""
    digest = hashlib.sha256()
    for name, (dtype, shape, data) in sorted(tensors.items()):
        digest.update(f"{name} {dtype} {shape} ".encode())
        digest.update(data)
    return digest.hexdigest()[:32]


def encoder(path):
    """The encoder in a model: image encoder and identity encoder. The mean tokens follow from the data, and an adapter
    belongs to the generator that it was trained with."""
    return {
        name: tensor
        for name, tensor in read(path).items()
        if name.startswith(("backbone.", "encoder.")) and name != "encoder.token_mean"
    }


def host(path):
    """A generator's tensors, by the names that a training run has for them."""
    return {f"host.{name}": tensor for name, tensor in read(path).items()}
