#!/usr/bin/env python3
"""The reader of the header leaves nothing out, and stops at what it does not know."""

import re
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import c_header  # noqa: E402
import groups  # noqa: E402
from c_header import CType, Unexpected  # noqa: E402

TEXT = c_header.HEADER.read_text(encoding="utf-8")
HANDLE = "typedef struct omniid_engine omniid_engine;"


class HeaderTest(unittest.TestCase):
    def test_reads_every_function_struct_and_constant(self):
        # Counted in another way than the reader does it.
        header = c_header.parse(TEXT)
        functions = {
            line.split("(")[0].split()[-1].lstrip("*")
            for line in TEXT.splitlines()
            if line and not line.startswith((" ", "/", "#", "*", "typedef", "}")) and "(" in line
        }
        self.assertEqual({item.name for item in header.functions}, functions)
        self.assertGreater(len(functions), 40)
        constants = set(re.findall(r"^#define (OMNIID_\w+) .*\S$", TEXT, re.M))
        self.assertEqual({item.name for item in header.constants}, {c for c in constants if not c.endswith("_INIT")})
        structs = {name for name in re.findall(r"^typedef struct (\w+)", TEXT, re.M)}
        self.assertEqual({item.name for item in header.structs}, structs)
        initialised = {item.name for item in header.structs if item.initial}
        self.assertEqual(initialised, {c.removesuffix("_INIT").lower() for c in constants if c.endswith("_INIT")})
        self.assertTrue(all(item.doc for item in header.functions))
        self.assertTrue(all(field.doc for item in header.structs for field in item.fields))

    def test_reads_types(self):
        header = c_header.parse(TEXT)
        parameters = {item.name: [p.type for p in item.parameters] for item in header.functions}
        self.assertEqual(parameters["omniid_inject"], [CType("omniid_conditioning", 1), CType("omniid_inject_call", 1)])
        self.assertEqual(parameters["omniid_version"], [])
        photo = next(item for item in header.structs if item.name == "omniid_photo")
        types = {field.name: field.type for field in photo.fields}
        self.assertEqual(types["face_box"], CType("float", 0, 4))
        self.assertEqual(types["path"], CType("char", 1))
        tensor = next(item for item in header.structs if item.name == "omniid_managed_tensor")
        self.assertEqual({field.name: field.type for field in tensor.fields}["deleter"], c_header.CALLBACK)

    def test_stops_at_what_it_does_not_know(self):
        for addition in (
            "typedef union u u;",
            "typedef int32_t omniid_thing;",
            "int omniid_table[3];",
            "omniid_status omniid_f(int (*callback)(void));",
            "typedef struct omniid_bits { uint32_t one : 1; } omniid_bits;",
            "#define OMNIID_NOTHING_INIT { 0 }",
        ):
            with self.assertRaises(Unexpected, msg=addition):
                c_header.parse(TEXT.replace(HANDLE, f"{addition}\n{HANDLE}"))
        # A field without a value in the struct's _INIT macro.
        with self.assertRaises(Unexpected):
            c_header.parse(TEXT.replace("  uint32_t image_size;", "  uint32_t image_size;\n  uint64_t colour;"))

    def test_every_constant_belongs_to_a_group(self):
        groups.check(c_header.parse(TEXT))
        with self.assertRaises(Unexpected):
            groups.check(c_header.parse(TEXT.replace(HANDLE, f"#define OMNIID_NEW_THING 3\n{HANDLE}")))
        with self.assertRaises(Unexpected):
            groups.Group("NOTHING_", "Nothing", "").members(c_header.parse(TEXT))

    def test_wraps_comments(self):
        text = "one two\nthree:\nfour five\n\nsix"
        self.assertEqual(c_header.wrapped(text, 80), ["one two three:", "four five", "", "six"])
        self.assertEqual(c_header.wrapped(text, 8), ["one two", "three:", "four", "five", "", "six"])


if __name__ == "__main__":
    unittest.main(verbosity=0)
