#!/usr/bin/env python3
"""Writes the container fixtures: the same small tensors as PyTorch files and as safetensors.

    python tests/parity/containers.py [output folder]

Every `x.bin` has an `x.safetensors` beside it, written by the safetensors library from the same tensors, contiguous
and with flattened names. Needs torch and safetensors.
"""

import os
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "containers"


def flatten(value, prefix=""):
    flat = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict):
            flat.update(flatten(item, name + "."))
        elif isinstance(item, torch.Tensor):
            flat[name] = item.detach().clone().contiguous()
    return flat


def both(folder, stem, state):
    torch.save(state, folder / f"{stem}.bin")
    save_file(flatten(state), folder / f"{stem}.safetensors", metadata={"made by": "containers.py"})


class Run:
    """Unpickling an instance with Python would run a command."""

    def __reduce__(self):
        return os.system, ("true",)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)

    floats = {}
    for name, dtype in [
        ("f32", torch.float32),
        ("f16", torch.float16),
        ("bf16", torch.bfloat16),
        ("f64", torch.float64),
    ]:
        floats[name] = torch.randn(3, 5).to(dtype)
    integers = {
        "i64": torch.arange(-3, 4),
        "i32": torch.arange(5, dtype=torch.int32),
        "i16": torch.arange(-2, 3, dtype=torch.int16),
        "u8": torch.arange(250, 256).to(torch.uint8),
        "bool": torch.tensor([True, False, True]),
    }
    both(folder, "dtypes", {**floats, **integers, "scalar": torch.tensor(0.5), "empty": torch.zeros(0, 4)})

    base = torch.randn(6, 8)
    cube = torch.randn(2, 3, 4)
    both(
        folder,
        "strided",
        {
            "transposed": base.t(),
            "columns": base[:, 1::3],
            "rows": base[2:5],
            "last": base[5, 7],
            "permuted": cube.permute(2, 0, 1),
            "half": torch.randn(4, 6).half().t(),
            "whole": base,
        },
    )

    nested = OrderedDict()
    nested["image_proj"] = {"latents": torch.randn(1, 2, 4), "proj_in": {"weight": torch.randn(4, 3)}}
    nested["ip_adapter"] = OrderedDict(
        [("1.to_k_ip.weight", torch.randn(4, 4)), ("1.to_v_ip.weight", torch.randn(4, 4))]
    )
    nested["step"] = 1000
    nested["note"] = "numbers and texts beside the tensors"
    nested["rates"] = [1e-4, None, True, (1, 2)]
    both(folder, "nested", nested)

    torch.manual_seed(8)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    both(folder, "state_dict", module.state_dict())
    both(folder, "parameters", dict(module.named_parameters()))

    aliased = {
        "adapter_modules": {"0.adapter_modules.to_k_ip.weight": torch.ones(2, 3)},
        "image_proj": {"image_proj.latents": torch.zeros(1, 2, 2)},
    }
    torch.save(aliased, folder / "alias.bin")

    # The same archive with its entries compressed, as general zip tools write it.
    with zipfile.ZipFile(folder / "nested.bin") as source:
        with zipfile.ZipFile(folder / "deflated.bin", "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                target.writestr(name, source.read(name))

    torch.save({"weight": torch.ones(2)}, folder / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"weight": torch.ones(2), "run": Run()}, folder / "malicious.bin")
    torch.save(torch.nn.Linear(2, 2), folder / "module.bin")
    torch.save([torch.ones(2)], folder / "list.bin")
    torch.save({"expanded": torch.ones(1).expand(1 << 40)}, folder / "expanded.bin")
    torch.save(nested, folder / "protocol4.bin", pickle_protocol=4)


if __name__ == "__main__":
    main()
