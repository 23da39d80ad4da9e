#!/usr/bin/env python3
"""Writes the C# declarations of include/omniid.h.

    generate.py            writes src/Enums.g.cs and src/Native/*.g.cs
    generate.py --check    exits 1 and names the files if they are not what the header says
    generate.py --probe    prints a C program that prints the size and the offsets of every struct

Everything that crosses is blittable: integers of fixed width, pointers, structs and fixed arrays of those. Nothing is
left to the marshaller, so that JIT, AOT and IL2CPP compilers pass the same bytes.
"""

import html
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import header as c_header

HERE = Path(__file__).resolve().parent
HEADER = HERE.parent.parent / "include" / "omniid.h"

# Constants by prefix: C# enum, whether it is public, and a name for people.
ENUMS = {
    "LOG": ("LogLevel", True, "How detailed a log message is."),
    "STAGE": ("Stage", True, "What a long call is doing."),
    "DEVICE": ("DeviceType", True, "Where memory is."),
    "TYPE": ("TypeCode", False, "Class of a number type."),
    "PRECISION": ("Precision", True, "A number type of weights, keys, values and files."),
    "ENCODER": ("EncoderKind", True, "The kind of identity encoder."),
    "PIXEL": ("PixelType", False, "Type of a colour channel."),
    "ORDER": ("ChannelOrder", True, "Order of the colour channels in memory."),
    "FACE": ("FaceChoice", False, "Which face of a photo is meant."),
    "CROP": ("Crop", True, "How photos are cropped."),
    "BAD_PHOTO": ("BadPhoto", True, "What to do with a photo that cannot be used."),
    "WEIGHT": ("WeightType", True, "How an identity's weight is spread over the layers of the host."),
    "STEPS": ("StepUnit", False, "What limits the steps at which an identity is injected."),
    "UNCONDITIONAL": ("Unconditional", True, "What the unconditional rows of guidance see."),
    "SCALING": ("EmbedsScaling", True, "How the weight acts on keys and values."),
    "MASK": ("MaskMode", True, "Whose way of placing masks is followed."),
    "ROLE": ("Role", True, "The side of guidance that a batch row belongs to."),
    "LAYOUT": ("TensorLayout", True, "Order of the dimensions of queries and outputs."),
    "INJECT": ("InjectFlag", False, "Flags of an injection; they are added."),
}
STATUSES = ("OK INVALID_ARGUMENT IO FORMAT UNSUPPORTED MISMATCH NO_FACE LIMIT_EXCEEDED CANCELLED DEVICE ABI_MISMATCH "
            "INTERNAL").split()
PLAIN = {"OMNIID_ABI_MAJOR", "OMNIID_ABI_MINOR", "OMNIID_ABI_VERSION", "OMNIID_VERSION"}
SCALARS = {
    "uint8_t": "byte", "uint16_t": "ushort", "uint32_t": "uint", "uint64_t": "ulong", "int32_t": "int",
    "int64_t": "long", "size_t": "UIntPtr", "float": "float", "double": "double", "omniid_status": "int",
    "char": "byte", "void": "void",
}
NOTICE = "// Generated from include/omniid.h by bindings/csharp/generate.py. Do not edit.\n"


def pascal(name):
    """ABI_MAJOR and crop_margin as AbiMajor and CropMargin."""
    return "".join(part.capitalize() for part in name.split("_"))


def documentation(text, indent, tag="summary"):
    text = re.sub(r"`([^`]*)`", r"<c>\1</c>", html.escape(text, quote=False))
    lines = [f"<{tag}>{text}</{tag}>"] if "\n" not in text and len(text) < 90 else [f"<{tag}>", *text.splitlines(), f"</{tag}>"]
    return "".join(f"{indent}/// {line}".rstrip() + "\n" for line in lines) if text else ""


def type_name(kind, header):
    """The blittable C# type of a C type."""
    base = kind.replace("const ", "").replace("const", "").strip()
    stars = base.count("*")
    base = base.replace("*", "").strip()
    if base in header.handles:
        return "IntPtr" + "*" * (stars - 1)
    if base == "callback" or base in {callback.name for callback in header.callbacks}:
        return "IntPtr"
    if base in SCALARS:
        return SCALARS[base] + "*" * stars
    if base in {struct.name for struct in header.structs}:
        return "Native" + pascal(base[len("omniid_"):]) + "*" * stars
    raise ValueError(f"unknown type {kind!r}")


def enums(header):
    groups, constants = {}, {}
    for constant in header.constants:
        short = constant.name[len("OMNIID_"):]
        if constant.name in PLAIN:
            constants[constant.name] = constant
        elif short in STATUSES:
            groups.setdefault("", []).append((short, constant))
        else:
            prefix = next((p for p in sorted(ENUMS, key=len, reverse=True) if short.startswith(p + "_")), None)
            if prefix is None:
                raise ValueError(f"{constant.name} belongs to no enum; add it to the table in {Path(__file__).name}")
            groups.setdefault(prefix, []).append((short[len(prefix) + 1:], constant))
    missing = set(ENUMS) - set(groups)
    if missing or len(groups[""]) != len(STATUSES) or len(constants) != len(PLAIN):
        raise ValueError(f"constants that the header does not have any more: {sorted(missing) or 'statuses, versions'}")
    out = [NOTICE, "namespace OmniID\n{\n"]
    tables = {"": ("Status", True, "The class of an error, or <see cref=\"Ok\"/>."), **ENUMS}
    for prefix, (name, public, doc) in tables.items():
        out.append(f"    /// <summary>{doc}</summary>\n    {'public' if public else 'internal'} enum {name}\n    {{\n")
        for short, constant in groups[prefix]:
            out.append(documentation(constant.doc, "        "))
            out.append(f"        {pascal(short)} = {constant.value},\n")
        out.append("    }\n\n")
    out.append("    /// <summary>The ABI and the release that these declarations belong to.</summary>\n")
    out.append("    internal static class HeaderVersion\n    {\n")
    out.append(f"        public const uint AbiMajor = {constants['OMNIID_ABI_MAJOR'].value};\n")
    out.append(f"        public const uint AbiMinor = {constants['OMNIID_ABI_MINOR'].value};\n")
    out.append("        public const uint Abi = AbiMajor << 16 | AbiMinor;\n")
    out.append(f"        public const string Release = {constants['OMNIID_VERSION'].value};\n    }}\n}}\n")
    return "".join(out)


def initial_value(value, kind):
    """The C# expression of a field's initial value; None for zero."""
    if value in ("0", "NULL", "0.0f", "{ 0 }"):
        return None
    if value.startswith("sizeof("):
        return None
    if value == "OMNIID_ABI_VERSION":
        return "HeaderVersion.Abi"
    if re.fullmatch(r"-?\d+" if kind not in ("float", "double") else r"-?\d+(\.\d+f?)?", value):
        return value
    raise ValueError(f"unknown initial value {value!r}")


def structs(header):
    out = [NOTICE, "using System;\nusing System.Runtime.InteropServices;\n\nnamespace OmniID.Native\n{\n"]
    for struct in header.structs:
        name = type_name(struct.name, header)
        out.append(documentation(struct.doc, "    "))
        out.append(f"    [StructLayout(LayoutKind.Sequential)]\n    internal unsafe struct {name}\n    {{\n")
        for member in struct.fields:
            kind = type_name(member.type, header)
            out.append(documentation(member.doc, "        "))
            array = f"[{member.length}]" if member.length else ""
            out.append(f"        public {'fixed ' if array else ''}{kind} {pascal(member.name)}{array};\n")
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


def methods(header):
    out = [NOTICE, "using System;\nusing System.Runtime.InteropServices;\n\nnamespace OmniID.Native\n{\n"]
    for callback in header.callbacks:
        parameters = ", ".join(f"{type_name(p.type, header)} {camel(p.name)}" for p in callback.parameters)
        out.append(documentation(callback.doc, "    "))
        out.append("    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]\n")
        result = type_name(callback.result, header)
        out.append(f"    internal unsafe delegate {result} {pascal(callback.name[len('omniid_'):])}({parameters});\n\n")
    out.append("    /// <summary>The functions of the library, as they are in C.</summary>\n")
    out.append("    internal static unsafe class NativeMethods\n    {\n")
    out.append("#if (UNITY_IOS || UNITY_WEBGL) && !UNITY_EDITOR\n")
    out.append("        // Linked into the program.\n        private const string Library = \"__Internal\";\n#else\n")
    out.append("        // libomniid.so, libomniid.dylib or omniid.dll.\n        private const string Library = \"omniid\";\n#endif\n")
    for function in header.functions:
        result = type_name(function.result, header)
        parameters = ", ".join(f"{type_name(p.type, header)} {camel(p.name)}" for p in function.parameters)
        out.append("\n" + documentation(function.doc, "        "))
        out.append("        [DllImport(Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]\n")
        out.append(f"        public static extern {result} {function.name}({parameters});\n")
    return "".join(out) + "    }\n}\n"


def camel(name):
    name = pascal(name)
    name = name[0].lower() + name[1:]
    return "@" + name if name in ("out", "in", "ref", "params", "object", "string") else name


def probe(header):
    """A C program that prints `NAME SIZE` of each struct and `NAME.FIELD OFFSET` of each field, under their C# names."""
    out = ["#include <omniid.h>\n#include <stdio.h>\n\nint main(void) {\n"]
    for struct in header.structs:
        name = type_name(struct.name, header)
        out.append(f'    printf("{name} %zu\\n", sizeof({struct.name}));\n')
        for member in struct.fields:
            out.append(f'    printf("{name}.{pascal(member.name)} %zu\\n", offsetof({struct.name}, {member.name}));\n')
    return "".join(out) + "    return 0;\n}\n"


def main():
    header = c_header.parse(HEADER.read_text(encoding="utf-8"))
    if sys.argv[1:] == ["--probe"]:
        print(probe(header), end="")
        return 0
    files = {"Enums.g.cs": enums(header), "Native/NativeStructs.g.cs": structs(header),
             "Native/NativeMethods.g.cs": methods(header)}
    stale = []
    for name, text in files.items():
        path = HERE / "src" / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if sys.argv[1:] != ["--check"]:
                path.write_text(text, encoding="utf-8")
    if sys.argv[1:] == ["--check"] and stale:
        print(f"not what include/omniid.h says: {', '.join(stale)}; run bindings/csharp/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
