#!/usr/bin/env python3
"""Writes the declarations of the Python package from include/omniid.h.

python bindings/python/generate.py            # writes omniid/_abi.py and omniid/enums.py
python bindings/python/generate.py --check    # ends with status 1 and names the files that are out of date
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "header"))
sys.dont_write_bytecode = True

import groups  # noqa: E402
from c_header import HEADER, Constant, CType, Function, Header, Struct, read, wrapped  # noqa: E402

SCALARS = {
    "void": "None",
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
ADDRESSES = {"void": "c_void_p", "char": "c_char_p", "callback": "c_void_p"}
"""ctypes has types of its own for pointers to these."""

INTERNAL = ["TypeCode", "InjectFlag"]
"""Enums that the package does without: it uses the constants."""


def python_type(kind: CType) -> str:
    """The ctypes type of a C type."""
    name, pointers = SCALARS.get(kind.name, kind.name), kind.pointers
    if pointers and kind.name in ADDRESSES:
        name, pointers = ADDRESSES[kind.name], pointers - 1
    if kind.length:
        return f"{name} * {kind.length}"
    return "POINTER(" * pointers + name + ")" * pointers


def annotation(kind: CType) -> str:
    """What a field is to a type checker."""
    name = python_type(kind)
    if name in ("c_float", "c_double"):
        return "float"
    if name == "c_char_p":
        return "bytes | None"
    if name == "c_void_p":
        return "int | None"
    inner = python_type(CType(kind.name))
    if kind.length:
        return f"ctypes.Array[{inner}]"
    if kind.pointers > 1:
        return "ctypes._Pointer[" * kind.pointers + inner + "]" * kind.pointers + " | None"
    if kind.pointers:
        return f"ctypes._Pointer[{inner}] | ctypes.Array[{inner}] | None"
    if name.startswith("c_"):
        return "int"
    return "CFuncPtr" if name.endswith("_fn") else name


def comment(doc: str, indent: str = "") -> str:
    return "".join(f"{indent}#: {line}".rstrip() + "\n" for line in wrapped(doc, 117 - len(indent)))


def docstring(doc: str, indent: str, end: str = "") -> str:
    lines = wrapped(doc.replace("\\", "\\\\"), 114 - len(indent))
    if not lines:
        return ""
    text = "\n".join(f"{indent}{line}".rstrip() for line in lines).strip()
    last = "" if len(lines) == 1 else f"\n{indent}"
    return f'{indent}"""{text}{last}"""{end}\n'


def constant(item: Constant) -> str:
    value = item.value
    if item.name == "OMNIID_ABI_VERSION":
        value = "OMNIID_ABI_MAJOR << 16 | OMNIID_ABI_MINOR"
    return comment(item.doc) + f"{item.name} = {value}\n\n"


def initial(item: Struct) -> str:
    """A constructor with the values of the _INIT macro."""
    lines = [
        "    @classmethod",
        f"    def new(cls) -> {item.name}:",
        f'        """The values of {item.name.upper()}_INIT."""',
        "        value = cls()",
    ]
    for variable, text in zip(item.fields, item.initial):
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
        text += f'        ("{variable.name}", {python_type(variable.type)}),\n'
    text += "    ]\n"
    if item.initial:
        text += "\n" + initial(item)
    return text + "\n\n"


def callback(item: Function) -> str:
    types = ", ".join(python_type(kind) for kind in (item.result, *(p.type for p in item.parameters)))
    return comment(item.doc) + f"{item.name} = ctypes.CFUNCTYPE({types})\n\n\n"


def result_annotation(kind: CType) -> str:
    """What a function gives, to a type checker."""
    if kind == CType("char", 1):
        return "bytes"
    return "None" if kind == CType("void") else "int"


def function(item: Function) -> str:
    types = ", ".join(python_type(p.type) for p in item.parameters)
    names = ", ".join(f'"{p.name}"' for p in item.parameters)
    return (
        f"        self.{item.name}: Callable[..., {result_annotation(item.result)}] = _bind(\n"
        f'            library, "{item.name}", {python_type(item.result)},\n'
        + listed(types)
        + listed(names)
        + docstring(item.doc, "            ", ",")
        + "        )\n"
    )


def listed(elements: str) -> str:
    """A list as an argument, on as many lines as it needs."""
    lines = textwrap.wrap(f"[{elements}],", 108, break_long_words=False, subsequent_indent=" ")
    return "".join(f"            {line}\n" for line in lines)


ABI_START = '''"""Declarations of the C ABI, with the header's own comments. Written by generate.py; do not edit."""

from __future__ import annotations

import ctypes
import inspect
from ctypes import (
    POINTER, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64,
    c_void_p,
)
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from _ctypes import CFuncPtr

# fmt: off

'''

ABI_FUNCTIONS = '''def _bind(
    library: ctypes.CDLL, name: str, result: Any, types: list[Any], names: list[str], doc: str
) -> Callable[..., Any]:
    function = getattr(library, name)
    function.restype = result
    function.argtypes = types
    function.__doc__ = f"{name}({', '.join(names)})\\n\\n{inspect.cleandoc(doc)}"
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
    groups.check(header)
    text = ENUMS_START
    for group in groups.GROUPS:
        if group.name in INTERNAL:
            continue
        text += f'class {group.name}(enum.IntEnum):\n    """{group.doc}"""\n\n'
        for name, item in group.members(header):
            text += comment(item.doc, "    ") + f"    {name} = {item.value}\n"
        text += "\n\n"
    return text.rstrip("\n") + "\n"


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
