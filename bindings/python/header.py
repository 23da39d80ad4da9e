"""Reads include/omniid.h: the regular C that cbindgen writes for us, and nothing else.

Anything that does not look as expected stops with the text in question; nothing is skipped silently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Variable:
    """A field or a parameter."""

    name: str
    type: str
    """C type in normal form, such as `const omniid_engine *` or `float[4]`."""
    doc: str = ""


@dataclass
class Constant:
    name: str
    value: str
    doc: str


@dataclass
class Struct:
    name: str
    doc: str
    fields: list[Variable] = field(default_factory=list)
    """Empty for a handle."""
    initial: list[str] = field(default_factory=list)
    """Values of the struct's _INIT macro; empty if it has none."""


@dataclass
class Function:
    name: str
    result: str
    parameters: list[Variable]
    doc: str
    is_pointer: bool = False
    """Whether this is the type of a callback."""


@dataclass
class Header:
    constants: list[Constant] = field(default_factory=list)
    structs: list[Struct] = field(default_factory=list)
    callbacks: list[Function] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    """Names of the constants that are statuses."""


class Unexpected(ValueError):
    """A piece of the header that this reader does not know."""


_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_TOKEN = re.compile(r"\s*(/\*.*?\*/|#(?:[^\n\\]|\\\n|\\.)*|[^;{]*\{.*?\}[^;]*;|[^;{]*;)", re.S)


def parse(text: str) -> Header:
    """Reads the text of the header."""
    text = re.sub(r"#ifdef __cplusplus.*?#endif", "", text, flags=re.S)
    # Our own copies of DLPack's structs are in the #else branch.
    text = re.sub(r"#if defined\(DLPACK_MAJOR_VERSION\).*?#else(.*?)#endif", r"\1", text, flags=re.S)
    text = re.sub(r"#if UINTPTR_MAX.*?#endif", "", text, flags=re.S)
    header, doc, position = Header(), "", 0
    in_statuses = False
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if not match:
            raise Unexpected(text[position : position + 200])
        item, position = match.group(1), match.end()
        if item.startswith("/*"):
            doc = _clean(item) if item.startswith("/**") else ""
            continue
        if item.startswith("#define"):
            _define(header, item, doc)
            if in_statuses:
                header.statuses.append(header.constants[-1].name)
        elif item.startswith("#"):
            pass
        elif item == "typedef int32_t omniid_status;":
            in_statuses = True
        else:
            in_statuses = False
            _declaration(header, _flat(item), item, doc)
        doc = ""
    return header


def read(path: Path) -> Header:
    return parse(path.read_text(encoding="utf-8"))


def _clean(comment: str) -> str:
    lines = comment.removeprefix("/**").removesuffix("*/").splitlines()
    return "\n".join(line.strip().removeprefix("*").strip() for line in lines).strip()


def _flat(item: str) -> str:
    return " ".join(_COMMENT.sub(" ", item).split())


def _define(header: Header, item: str, doc: str) -> None:
    words = item.split(None, 2)
    if len(words) < 3:
        return  # the include guard
    name, value = words[1], " ".join(words[2].split())
    if name.endswith("_INIT"):
        struct = next(s for s in header.structs if s.name == name.removesuffix("_INIT").lower())
        inner = value.strip()[1:-1].replace("{ 0 }", "0")
        struct.initial = [part.strip() for part in inner.split(",")]
        if len(struct.initial) != len(struct.fields):
            raise Unexpected(f"{name} has {len(struct.initial)} values for {len(struct.fields)} fields")
    else:
        header.constants.append(Constant(name, value, doc))


def _declaration(header: Header, flat: str, item: str, doc: str) -> None:
    if match := re.fullmatch(r"typedef struct (\w+) (\w+);", flat):
        header.structs.append(Struct(match.group(1), doc))
    elif match := re.fullmatch(r"typedef struct (\w+) \{(.*)\} (\w+);", flat):
        header.structs.append(Struct(match.group(1), doc, _fields(item)))
    elif match := re.fullmatch(r"typedef (.+?)\(\*(\w+)\)\((.*)\);", flat):
        result, name, parameters = match.groups()
        header.callbacks.append(Function(name, result.strip(), _parameters(parameters), doc, True))
    elif match := re.fullmatch(r"(.+?)(\w+)\((.*)\);", flat):
        result, name, parameters = match.groups()
        header.functions.append(Function(name, result.strip(), _parameters(parameters), doc))
    else:
        raise Unexpected(flat)


def _fields(item: str) -> list[Variable]:
    body = item[item.index("{") + 1 : item.rindex("}")]
    fields = []
    for doc, text in re.findall(r"(/\*\*.*?\*/)?\s*([^/;]+);", body, flags=re.S):
        text = _flat(text)
        if match := re.fullmatch(r"(.+?)\(\*(\w+)\)\((.*)\)", text):
            fields.append(Variable(match.group(2), "callback", _clean(doc)))
        else:
            variable = _variable(text)
            variable.doc = _clean(doc)
            fields.append(variable)
    return fields


def _parameters(text: str) -> list[Variable]:
    return [] if text.strip() == "void" else [_variable(part.strip()) for part in text.split(",")]


def _variable(text: str) -> Variable:
    match = re.fullmatch(r"((?:const |struct )*\w+ ?\**)\s*(\w+)(\[\d+\])?", text)
    if not match:
        raise Unexpected(text)
    kind, name, count = match.groups()
    return Variable(name, kind.replace("struct ", "").strip() + (count or ""))
