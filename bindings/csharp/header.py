"""Reads include/omniid.h into plain data: constants, structs, callbacks and functions with their documentation.

The header is written by a generator and uses a small part of C: no bit fields, no unions, no nested structs, one
declaration per statement. Whatever does not fit is an error, so that nothing is left out silently.
"""

import re
from dataclasses import dataclass, field


@dataclass
class Constant:
    name: str
    value: str
    doc: str


@dataclass
class Member:
    """A struct field or a parameter: C type without its name, pointers as trailing stars, length of an array or 0."""

    name: str
    type: str
    length: int
    doc: str


@dataclass
class Struct:
    name: str
    fields: list
    doc: str
    # Values of the struct's _INIT macro, one C expression for each field; None if the header has no such macro.
    initial: list = None


@dataclass
class Function:
    name: str
    result: str
    parameters: list
    doc: str


@dataclass
class Header:
    constants: list = field(default_factory=list)
    structs: list = field(default_factory=list)
    handles: list = field(default_factory=list)
    callbacks: list = field(default_factory=list)
    functions: list = field(default_factory=list)


def _doc(text):
    lines = [re.sub(r"^\s*\*? ?", "", line) for line in text.strip().splitlines()]
    return "\n".join(lines).strip()


def _declaration(text, doc=""):
    text = " ".join(text.split())
    match = re.fullmatch(r"(.*?)(\w+)(?:\[(\d+)\])?", text)
    if not match or not match.group(1).strip():
        raise ValueError(f"cannot read the declaration {text!r}")
    kind = match.group(1).replace("struct ", "").replace(" *", "*").strip()
    return Member(match.group(2), kind, int(match.group(3) or 0), doc)


def _parameters(text):
    return [] if text.strip() == "void" else [_declaration(part) for part in text.split(",")]


def _fields(body):
    members = []
    pattern = re.compile(r"(?:/\*\*(?P<doc>.*?)\*/\s*)?(?P<text>[^;/]+);", re.S)
    position = 0
    for match in pattern.finditer(body):
        if body[position : match.start()].strip():
            raise ValueError(f"cannot read {body[position:match.start()]!r}")
        position = match.end()
        doc = _doc(match.group("doc") or "")
        callback = re.fullmatch(r"\s*void \(\*(\w+)\)\(.*\)\s*", match.group("text"), re.S)
        members.append(Member(callback.group(1), "callback*", 0, doc) if callback else _declaration(match.group("text"), doc))
    if body[position:].strip():
        raise ValueError(f"cannot read {body[position:]!r}")
    return members


def _initial(text):
    """Splits `{ a, { 0 }, b }` at its outer commas."""
    inner = text.strip()[1:-1]
    parts, depth, start = [], 0, 0
    for index, char in enumerate(inner):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append(inner[start:index].strip())
            start = index + 1
    return parts + [inner[start:].strip()]


_ITEM = re.compile(
    r"/\*\*(?P<doc>(?:(?!\*/).)*)\*/"
    r"|/\*(?P<comment>(?:(?!\*/).)*)\*/"
    r"|#define (?P<define>\w+)(?P<value>[^\n]*)"
    r"|\#[^\n]*"
    r"|typedef struct (?P<struct>\w+) \{(?P<body>[^}]*)\} (?P=struct);"
    r"|typedef struct (?P<handle>\w+) (?P=handle);"
    r"|typedef (?P<callback_result>\w+) \(\*(?P<callback>\w+)\)\((?P<callback_parameters>[^)]*)\);"
    r"|typedef char \w+\[[^\]]*\];"
    r"|typedef (?P<alias>[^;{(]+);"
    r"|extern \"C\" \{|\}"
    r"|(?P<result>[\w ]+?[ *]+)(?P<function>omniid_\w+)\((?P<parameters>[^)]*)\);"
    r"|\s+",
    re.S,
)


def parse(text):
    """The contents of the header `text`. Raises ValueError for anything that it does not understand."""
    header, doc, position, initial = Header(), "", 0, {}
    # With a dlpack.h of their own, programs get its types instead; the layout is the same.
    text = re.sub(r"#if defined\(DLPACK_MAJOR_VERSION\).*?#else\n", "", text, flags=re.S)
    while position < len(text):
        match = _ITEM.match(text, position)
        if not match:
            line = text.count("\n", 0, position) + 1
            raise ValueError(f"line {line}: cannot read {text[position:position + 60]!r}")
        position = match.end()
        part = match.groupdict()
        if match.group().isspace():
            continue
        if part["doc"] is not None:
            doc = _doc(part["doc"])
            continue
        if part["define"]:
            name, value = part["define"], part["value"].strip()
            if name.endswith("_INIT"):
                initial[name[: -len("_INIT")].lower()] = _initial(value)
            elif value:
                header.constants.append(Constant(name, value, doc))
        elif part["struct"]:
            header.structs.append(Struct(part["struct"], _fields(part["body"]), doc))
        elif part["handle"]:
            header.handles.append(part["handle"])
        elif part["callback"]:
            parameters = _parameters(part["callback_parameters"])
            header.callbacks.append(Function(part["callback"], part["callback_result"], parameters, doc))
        elif part["function"]:
            result = part["result"].strip().replace(" *", "*")
            header.functions.append(Function(part["function"], result, _parameters(part["parameters"]), doc))
        elif part["alias"] and part["alias"] != "int32_t omniid_status":
            raise ValueError(f"unknown type name: typedef {part['alias']}")
        doc = ""
    for struct in header.structs:
        struct.initial = initial.pop(struct.name, None)
        if struct.initial and len(struct.initial) != len(struct.fields):
            raise ValueError(f"{struct.name}: {len(struct.fields)} fields, {len(struct.initial)} initial values")
    if initial:
        raise ValueError(f"initial values of unknown structs: {sorted(initial)}")
    return header
