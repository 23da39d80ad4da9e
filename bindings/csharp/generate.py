#!/usr/bin/env python3
"""Writes the C# declarations of include/omniid.h.

    generate.py            writes src/Enums.g.cs and src/Native/*.g.cs
    generate.py --check    exits 1 and names the files if they are not what the header says
    generate.py --probe    prints a C program that prints the size and the offsets of every struct

Everything that crosses is blittable: integers of fixed width, pointers, structs and fixed arrays of those. Nothing is
left to the marshaller, so that JIT, AOT and IL2CPP compilers pass the same bytes.
"""

from __future__ import annotations

import html
import re
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "header"))
sys.dont_write_bytecode = True

import groups  # noqa: E402
from c_header import HEADER, CType, Function, Header, Unexpected, read, wrapped  # noqa: E402

INTERNAL = ["TypeCode", "PixelType", "FaceHint", "StepUnit", "InjectFlag"]
"""Enums that only the assembly itself uses."""

SCALARS = {
    "uint8_t": "byte",
    "uint16_t": "ushort",
    "uint32_t": "uint",
    "uint64_t": "ulong",
    "int32_t": "int",
    "int64_t": "long",
    "size_t": "UIntPtr",
    "float": "float",
    "double": "double",
    "omniid_status": "int",
    "char": "byte",
    "void": "void",
}
WIDTH = 120
NOTICE = "// Generated from include/omniid.h by bindings/csharp/generate.py. Do not edit.\n#nullable enable\n"


def pascal(name: str) -> str:
    """ABI_MAJOR and crop_margin as AbiMajor and CropMargin."""
    return "".join(part.capitalize() for part in name.split("_"))


def documentation(text: str, indent: str, tag: str = "summary") -> str:
    """An XML comment."""
    if not text:
        return ""
    text = re.sub(r"`([^`]*)`", r"<c>\1</c>", html.escape(text, quote=False))
    width = WIDTH - len(indent) - len("/// ")
    lines = [f"<{tag}>{text}</{tag}>"]
    if "\n" in text or len(lines[0]) > width:
        lines = [f"<{tag}>", *wrapped(text, width), f"</{tag}>"]
    return "".join(f"{indent}/// {line}".rstrip() + "\n" for line in lines)


def type_name(kind: CType, header: Header) -> str:
    """The blittable C# type of a C type."""
    if kind.name == "callback" or any(item.name == kind.name for item in header.callbacks):
        return "IntPtr"
    if kind.name in SCALARS:
        return SCALARS[kind.name] + "*" * kind.pointers
    struct = next((item for item in header.structs if item.name == kind.name), None)
    if struct is None:
        raise Unexpected(f"unknown type {kind.name}")
    if not struct.fields:  # a handle
        return "IntPtr" + "*" * (kind.pointers - 1)
    return struct_name(kind.name) + "*" * kind.pointers


def struct_name(name: str) -> str:
    """omniid_engine_info as NativeEngineInfo."""
    return "Native" + pascal(name.removeprefix("omniid_"))


def enums(header: Header) -> str:
    groups.check(header)
    out = [NOTICE, "namespace OmniID\n{\n"]
    for group in groups.GROUPS:
        visibility = "internal" if group.name in INTERNAL else "public"
        out.append(f"    /// <summary>{group.doc}</summary>\n    {visibility} enum {group.name}\n    {{\n")
        for name, constant in group.members(header):
            out.append(documentation(constant.doc, "        "))
            out.append(f"        {pascal(name)} = {constant.value},\n")
        out.append("    }\n\n")
    versions = {constant.name: constant.value for constant in header.constants if constant.name in groups.VERSIONS}
    out.append("    /// <summary>The ABI and the release that these declarations belong to.</summary>\n")
    out.append("    internal static class HeaderVersion\n    {\n")
    out.append(f"        public const uint AbiMajor = {versions['OMNIID_ABI_MAJOR']};\n")
    out.append(f"        public const uint AbiMinor = {versions['OMNIID_ABI_MINOR']};\n")
    out.append("        public const uint Abi = AbiMajor << 16 | AbiMinor;\n")
    out.append(f"        public const string Release = {versions['OMNIID_VERSION']};\n    }}\n}}\n")
    return "".join(out)


def initial_value(value: str, kind: str) -> str | None:
    """The C# expression of a field's initial value; None for zero."""
    if value in ("0", "NULL", "0.0f"):
        return None
    if value.startswith("sizeof("):
        return None
    if value == "OMNIID_ABI_VERSION":
        return "HeaderVersion.Abi"
    if re.fullmatch(r"-?\d+" if kind not in ("float", "double") else r"-?\d+(\.\d+f?)?", value):
        return value
    raise Unexpected(f"unknown initial value {value!r}")


def structs(header: Header) -> str:
    out = [NOTICE, "using System;\nusing System.Runtime.InteropServices;\n\nnamespace OmniID.Native\n{\n"]
    for struct in header.structs:
        if not struct.fields:
            continue
        name = struct_name(struct.name)
        out.append(documentation(struct.doc, "    "))
        out.append(f"    [StructLayout(LayoutKind.Sequential)]\n    internal unsafe struct {name}\n    {{\n")
        for member in struct.fields:
            kind, length = type_name(member.type, header), member.type.length
            out.append(documentation(member.doc, "        "))
            out.append(f"        public {f'fixed {kind}' if length else kind} {pascal(member.name)}")
            out.append(f"[{length}];\n" if length else ";\n")
        if struct.initial:
            out.append(f"\n        /// <summary>What {struct.name.upper()}_INIT is in C.</summary>\n")
            out.append(f"        public static {name} Create()\n        {{\n            {name} value = default;\n")
            out.append(f"            value.StructSize = (uint)sizeof({name});\n")
            for member, value in zip(struct.fields, struct.initial):
                expression = initial_value(value, type_name(member.type, header))
                if expression:
                    out.append(f"            value.{pascal(member.name)} = {expression};\n")
            out.append("            return value;\n        }\n")
        out.append("    }\n\n")
    return "".join(out).rstrip() + "\n}\n"


def methods(header: Header) -> str:
    out = [NOTICE, "using System;\nusing System.Runtime.InteropServices;\n\nnamespace OmniID.Native\n{\n"]
    for callback in header.callbacks:
        name = pascal(callback.name.removeprefix("omniid_"))
        out.append(documentation(callback.doc, "    "))
        out.append("    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]\n")
        out.append(signature(callback, "    internal unsafe delegate", name, header) + "\n")
    out.append("    /// <summary>The functions of the library, as they are in C.</summary>\n")
    out.append("    internal static unsafe class NativeMethods\n    {\n")
    out.append("#if (UNITY_IOS || UNITY_WEBGL) && !UNITY_EDITOR\n")
    out.append('        // Linked into the program.\n        private const string Library = "__Internal";\n#else\n')
    out.append("        // libomniid.so, libomniid.dylib or omniid.dll.\n")
    out.append('        private const string Library = "omniid";\n#endif\n')
    for function in header.functions:
        out.append("\n" + documentation(function.doc, "        "))
        out.append("        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]\n")
        out.append(signature(function, "        public static extern", function.name, header))
    return "".join(out) + "    }\n}\n"


def signature(function: Function, modifiers: str, name: str, header: Header) -> str:
    """The declaration of a function, on as many lines as it needs."""
    parameters = ", ".join(f"{type_name(p.type, header)} {camel(p.name)}" for p in function.parameters)
    text = f"{modifiers} {type_name(function.result, header)} {name}({parameters});"
    indent = " " * (len(modifiers) - len(modifiers.lstrip()) + 4)
    return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False)) + "\n"


def camel(name: str) -> str:
    name = pascal(name)
    name = name[0].lower() + name[1:]
    return "@" + name if name in ("out", "in", "ref", "params", "object", "string") else name


def probe(header: Header) -> str:
    """A C program that prints `NAME SIZE` of each struct and `NAME.FIELD OFFSET` of each field, by their C# names."""
    out = ["#include <omniid.h>\n#include <stdio.h>\n\nint main(void) {\n"]
    for struct in header.structs:
        if not struct.fields:
            continue
        name = struct_name(struct.name)
        out.append(f'    printf("{name} %zu\\n", sizeof({struct.name}));\n')
        for member in struct.fields:
            offset = f"offsetof({struct.name}, {member.name})"
            out.append(f'    printf("{name}.{pascal(member.name)} %zu\\n", {offset});\n')
    return "".join(out) + "    return 0;\n}\n"


def main() -> int:
    header = read()
    if sys.argv[1:] == ["--probe"]:
        print(probe(header), end="")
        return 0
    files = {
        "Enums.g.cs": enums(header),
        "Native/NativeStructs.g.cs": structs(header),
        "Native/NativeMethods.g.cs": methods(header),
    }
    stale = []
    for name, text in files.items():
        path = HERE / "src" / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if sys.argv[1:] != ["--check"]:
                path.write_text(text, encoding="utf-8")
    if sys.argv[1:] == ["--check"] and stale:
        print(f"not what {HEADER.name} says: {', '.join(stale)}; run bindings/csharp/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
