#!/usr/bin/env python3
"""Writes the declarations of the package from include/omniid.h.

    python bindings/python/generate.py            # writes omniid/_abi.py and omniid/enums.py
    python bindings/python/generate.py --check    # says whether they are up to date; ends with status 1 if not
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from pathlib import Path

from header import Constant, Function, Header, Struct, Variable, read

HERE = Path(__file__).resolve().parent
HEADER = HERE.parent.parent / "include" / "omniid.h"

PLAIN = {
    "void": "None",
    "char": "c_char",
    "float": "c_float",
    "double": "c_double",
    "size_t": "c_size_t",
    "int32_t": "c_int32",
    "int64_t": "c_int64",
    "uint8_t": "c_uint8",
    "uint16_t": "c_uint16",
    "uint32_t": "c_uint32",
    "uint64_t": "c_uint64",
    "omniid_status": "c_int32",
}

# Prefix of the constants, name of the class, what it is for.
ENUMS = [
    ("LOG", "LogLevel", "How serious a log message is."),
    ("STAGE", "Stage", "What a long call is doing."),
    ("DEVICE", "DeviceType", "Where memory is."),
    ("PRECISION", "Precision", "Number type of weights, keys and values, and identity files."),
    ("ENCODER", "Encoder", "Which kind of model makes the identity tokens."),
    ("PIXEL", "PixelType", "Type of a colour channel."),
    ("ORDER", "ChannelOrder", "Order of colour channels."),
    ("FACE", "FaceChoice", "Which face of a photo is meant."),
    ("CROP", "Crop", "How photos are cropped."),
    ("BAD_PHOTO", "BadPhoto", "What to do with a photo that cannot be used."),
    ("WEIGHT", "WeightType", "How an identity's weight is spread over the layers."),
    ("STEPS", "StepRange", "When during sampling an identity is injected."),
    ("UNCONDITIONAL", "Unconditional", "What the rows that do not follow the prompt see instead of the identity."),
    ("SCALING", "EmbedsScaling", "How the weight acts on keys and values."),
    ("MASK", "MaskMode", "Whose way of placing masks is followed."),
    ("ROLE", "Role", "The side of guidance of a batch row."),
    ("LAYOUT", "Layout", "Order of the dimensions of query and output."),
]


def python_type(c_type: str) -> str:
    """The ctypes type of a C type."""
    if c_type == "callback":
        return "c_void_p"
    if match := re.fullmatch(r"(.+)\[(\d+)\]", c_type):
        return f"{python_type(match.group(1))} * {match.group(2)}"
    kind = c_type.replace("const ", "").strip()
    if not kind.endswith("*"):
        return PLAIN.get(kind, kind)
    inner = kind[:-1].strip()
    if inner == "void":
        return "c_void_p"
    if inner == "char":
        return "c_char_p"
    return f"POINTER({python_type(inner)})"


def annotation(c_type: str) -> str:
    """What a field is to a type checker."""
    kind = python_type(c_type)
    if kind in ("c_float", "c_double"):
        return "float"
    if kind == "c_char_p":
        return "bytes | None"
    if kind == "c_void_p":
        return "int | None"
    if kind.startswith("c_") and " " not in kind:
        return "int"
    return "Any"


def comment(doc: str, indent: str = "") -> str:
    lines = []
    for line in doc.splitlines():
        lines += textwrap.wrap(line, 112 - len(indent), break_long_words=False) or [""]
    return "".join(f"{indent}#: {line}".rstrip() + "\n" for line in lines)


def docstring(doc: str, indent: str) -> str:
    doc = doc.replace("\\", "\\\\")
    if not doc:
        return ""
    if "\n" not in doc:
        return f'{indent}"""{doc}"""\n'
    body = "\n".join(f"{indent}{line}".rstrip() for line in doc.splitlines())
    return f'{indent}"""{body.strip()}\n{indent}"""\n'


def constant(item: Constant) -> str:
    value = item.value
    if item.name == "OMNIID_ABI_VERSION":
        value = "OMNIID_ABI_MAJOR << 16 | OMNIID_ABI_MINOR"
    return comment(item.doc) + f"{item.name} = {value}\n\n"


def initial(struct: Struct) -> str:
    """A constructor with the values of the _INIT macro."""
    lines = [
        "    @classmethod",
        f"    def new(cls) -> {struct.name}:",
        f'        """The values of {struct.name.upper()}_INIT."""',
        "        value = cls()",
    ]
    for variable, text in zip(struct.fields, struct.initial):
        if text.startswith("sizeof"):
            text = "ctypes.sizeof(cls)"
        text = re.sub(r"(?<=\d)f$", "", text)
        if text not in ("0", "0.0", "NULL"):
            lines.append(f"        value.{variable.name} = {text}")
    return "\n".join([*lines, "        return value"]) + "\n"


def struct(item: Struct) -> str:
    text = f"class {item.name}(ctypes.Structure):\n" + docstring(item.doc, "    ")
    if not item.fields:
        return text + "\n\n"
    text += "\n"
    for variable in item.fields:
        text += comment(variable.doc, "    ") + f"    {variable.name}: {annotation(variable.type)}\n"
    text += "\n    _fields_ = [\n"
    for variable in item.fields:
        text += f'        ("{variable.name}", {field_type(variable)}),\n'
    text += "    ]\n"
    if item.initial:
        text += "\n" + initial(item)
    return text + "\n\n"


def field_type(variable: Variable) -> str:
    return python_type(variable.type)


def callback(item: Function) -> str:
    types = ", ".join([PLAIN[item.result], *(python_type(p.type) for p in item.parameters)])
    return comment(item.doc) + f"{item.name} = ctypes.CFUNCTYPE({types})\n\n\n"


def function(item: Function) -> str:
    result = "None" if item.result == "void" else python_type(item.result)
    types = ", ".join(python_type(p.type) for p in item.parameters)
    names = ", ".join(f'"{p.name}"' for p in item.parameters)
    body = f'        self.{item.name} = _bind(\n            library, "{item.name}", {result}, [{types}], [{names}],\n'
    body += f"            {item.doc!r},\n        )\n"
    return body


ABI_START = '''"""Declarations of the C ABI, with the header's own comments. Written by generate.py; do not edit."""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64,
    c_void_p,
)
from typing import Any, Callable

# fmt: off

'''

ABI_FUNCTIONS = '''def _bind(
    library: ctypes.CDLL, name: str, result: Any, types: list[Any], names: list[str], doc: str
) -> Callable[..., Any]:
    function = getattr(library, name)
    function.restype = result
    function.argtypes = types
    function.__doc__ = f"{name}({', '.join(names)})\\n\\n{doc}"
    return function  # type: ignore[no-any-return]


class Functions:
    """The functions of a loaded library. Raises AttributeError when the library lacks one."""

    def __init__(self, library: ctypes.CDLL) -> None:
'''

ENUMS_START = '''"""Choices, with the header's own comments. Written by generate.py; do not edit.

Wherever the package takes one of these it also takes its name in lower case: `crop="face"` is `crop=Crop.FACE`.
"""

from __future__ import annotations

import enum

# fmt: off

'''


def abi_module(header: Header) -> str:
    text = ABI_START
    for item in header.constants:
        text += constant(item)
    text += "\n"
    # A struct may point to a callback type, and that to nothing but plain types.
    for item in header.callbacks:
        text += callback(item)
    for item in header.structs:
        text += struct(item)
    text += ABI_FUNCTIONS
    for item in header.functions:
        text += function(item)
    return text


def enums_module(header: Header) -> str:
    text = ENUMS_START
    statuses = [c for c in header.constants if c.name in header.statuses]
    text += enum_class("Status", "The result of a call.", "OMNIID_", statuses)
    for prefix, name, doc in ENUMS:
        prefix = f"OMNIID_{prefix}_"
        text += enum_class(name, doc, prefix, [c for c in header.constants if c.name.startswith(prefix)])
    return text.rstrip("\n") + "\n"


def enum_class(name: str, doc: str, prefix: str, constants: list[Constant]) -> str:
    if not constants:
        raise SystemExit(f"the header has no constants for {name}")
    text = f'class {name}(enum.IntEnum):\n    """{doc}"""\n\n'
    for item in constants:
        text += comment(item.doc, "    ") + f"    {item.name.removeprefix(prefix)} = {int(item.value)}\n"
    return text + "\n\n"


def modules(header_path: Path = HEADER) -> dict[Path, str]:
    """The generated files and what they should hold."""
    header = read(header_path)
    return {HERE / "omniid" / "_abi.py": abi_module(header), HERE / "omniid" / "enums.py": enums_module(header)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    parser.add_argument("--header", type=Path, default=HEADER)
    options = parser.parse_args()
    stale = []
    for path, text in modules(options.header).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
            if not options.check:
                path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path}: {'out of date' if options.check else 'written'}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
