"""Reads include/omniid.h into plain data, for the generators of the Python and C# declarations.

The header is written by cbindgen and uses a small part of C: one declaration per statement, no unions, no bit fields,
no nested structs. Anything else raises Unexpected, so that nothing is left out silently. A C parser would read more of
the language but drop the comments and the values of macros, which are half of what the generators need.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

HEADER = Path(__file__).resolve().parents[2] / "include" / "omniid.h"


class Unexpected(ValueError):
    """A piece of the header that this reader does not know."""


@dataclass(frozen=True)
class CType:
    """A C type without `const`."""

    name: str
    """Such as `float`, `omniid_engine`, or `callback` for a pointer to a function."""
    pointers: int = 0
    """Number of stars."""
    length: int = 0
    """Elements of an array; 0 for everything else."""


CALLBACK = CType("callback", 1)


@dataclass
class Variable:
    """A struct field or a parameter."""

    name: str
    type: CType
    doc: str = ""


@dataclass
class Constant:
    """A macro with a value, as it stands in the header."""

    name: str
    value: str
    doc: str


@dataclass
class Struct:
    """A struct, or a handle: a struct without known fields."""

    name: str
    doc: str
    fields: list[Variable] = field(default_factory=list)
    initial: list[str] = field(default_factory=list)
    """The value of each field in the struct's _INIT macro; empty if it has none."""


@dataclass
class Function:
    """A function, or the type of a callback."""

    name: str
    result: CType
    parameters: list[Variable]
    doc: str


@dataclass
class Header:
    """Everything that the header declares, in its order."""

    constants: list[Constant] = field(default_factory=list)
    structs: list[Struct] = field(default_factory=list)
    callbacks: list[Function] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)


_ITEM = re.compile(
    r"/\*(?P<comment>.*?)\*/"
    r"|#define (?P<macro>\w+) ?(?P<value>[^\n]*)"
    r"|#[^\n]*"
    r"|typedef struct (?P<struct>\w+) \{(?P<body>[^}]*)\} (?P=struct);"
    r"|typedef struct (?P<handle>\w+) (?P=handle);"
    r"|typedef (?P<callback_result>\w+) \(\*(?P<callback>\w+)\)\((?P<callback_parameters>[^)]*)\);"
    r"|typedef int32_t omniid_status;"
    r"|typedef char omniid_assert_\w+\[[^\]]*\];"
    r"|(?P<result>\w[\w ]*?[ *]+)(?P<function>omniid_\w+)\((?P<parameters>[^)]*)\);"
    r"|\s+",
    re.S,
)
_FIELD = re.compile(r"\s*(?:/\*\*(?P<doc>.*?)\*/\s*)?(?P<text>[^;/]+);", re.S)
_VARIABLE = re.compile(r"(?:const )?(?:struct )?(?P<type>\w+)(?P<stars>[ *]+)(?P<name>\w+)(?:\[(?P<length>\d+)\])?")


def read(path: Path = HEADER) -> Header:
    """The contents of a header file."""
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> Header:
    """The contents of a header's text. Raises Unexpected for anything that it does not understand."""
    # Programs with a dlpack.h of their own get its types instead of ours; the layout is the same.
    text = re.sub(r"#if defined\(DLPACK_MAJOR_VERSION\).*?#else\n", "", text, flags=re.S)
    text = re.sub(r"#ifdef __cplusplus\n.*?#endif\n", "", text, flags=re.S)
    text = text.replace("\\\n", "")
    header, doc, position = Header(), "", 0
    while position < len(text):
        match = _ITEM.match(text, position)
        if not match:
            line = text.count("\n", 0, position) + 1
            raise Unexpected(f"line {line}: cannot read {text[position : position + 60]!r}")
        position = match.end()
        part = match.groupdict()
        if match.group().isspace():
            continue
        if part["comment"] is not None:
            doc = _clean(part["comment"].removeprefix("*")) if part["comment"].startswith("*") else ""
            continue
        if part["macro"]:
            _add_macro(header, part["macro"], part["value"].strip(), doc)
        elif part["struct"]:
            header.structs.append(Struct(part["struct"], doc, _fields(part["body"])))
        elif part["handle"]:
            header.structs.append(Struct(part["handle"], doc))
        elif part["callback"]:
            result, parameters = CType(part["callback_result"]), _parameters(part["callback_parameters"])
            header.callbacks.append(Function(part["callback"], result, parameters, doc))
        elif part["function"]:
            result = _variable(part["result"] + "result").type
            header.functions.append(Function(part["function"], result, _parameters(part["parameters"]), doc))
        doc = ""
    return header


def wrapped(doc: str, width: int) -> list[str]:
    """The lines of a comment, broken anew. Paragraphs stay apart, and so does what follows a colon at a line's end."""
    lines: list[str] = []
    for paragraph in doc.split("\n\n"):
        if lines:
            lines.append("")
        for part in re.split(r"(?<=:)\n", paragraph):
            lines += textwrap.wrap(part, width, break_long_words=False, break_on_hyphens=False)
    return lines


def _clean(comment: str) -> str:
    """The text of a comment, without the stars that its lines begin with."""
    return "\n".join(re.sub(r"^\s*\*? ?", "", line).rstrip() for line in comment.strip().splitlines()).strip()


def _add_macro(header: Header, name: str, value: str, doc: str) -> None:
    if not name.endswith("_INIT"):
        if value:  # not the include guard
            header.constants.append(Constant(name, value, doc))
        return
    struct = next((item for item in header.structs if item.name == name.removesuffix("_INIT").lower()), None)
    if struct is None:
        raise Unexpected(f"{name}: there is no struct of that name")
    struct.initial = [part.strip() for part in value[1:-1].replace("{ 0 }", "0").split(",")]
    if len(struct.initial) != len(struct.fields):
        raise Unexpected(f"{name} has {len(struct.initial)} values for {len(struct.fields)} fields")


def _fields(body: str) -> list[Variable]:
    fields, position = [], 0
    while body[position:].strip():
        match = _FIELD.match(body, position)
        if not match:
            raise Unexpected(f"cannot read the fields {body[position:].strip()!r}")
        position, doc = match.end(), _clean(match["doc"] or "")
        if callback := re.fullmatch(r"void \(\*(\w+)\)\(.*\)", match["text"].strip(), re.S):
            fields.append(Variable(callback.group(1), CALLBACK, doc))
        else:
            fields.append(_variable(match["text"], doc))
    return fields


def _parameters(text: str) -> list[Variable]:
    return [] if text.strip() == "void" else [_variable(part) for part in text.split(",")]


def _variable(text: str, doc: str = "") -> Variable:
    match = _VARIABLE.fullmatch(" ".join(text.split()))
    if not match:
        raise Unexpected(f"cannot read the declaration {text.strip()!r}")
    kind = CType(match["type"], match["stars"].count("*"), int(match["length"] or 0))
    return Variable(match["name"], kind, doc)
