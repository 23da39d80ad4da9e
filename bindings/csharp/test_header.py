#!/usr/bin/env python3
"""The reader of the header leaves nothing out silently, and the declarations follow the header."""

import sys
import unittest

sys.dont_write_bytecode = True
import generate
import header as c_header

TEXT = generate.HEADER.read_text(encoding="utf-8")


class HeaderTest(unittest.TestCase):
    def test_reads_every_function_and_constant(self):
        header = c_header.parse(TEXT)
        names = {f.name for f in header.functions}
        self.assertEqual(names, set(generate.re.findall(r"^[\w ]+?[ *]+(omniid_\w+)\(", TEXT, generate.re.M)))
        constants = set(generate.re.findall(r"^#define (OMNIID_\w+) .*\S$", TEXT, generate.re.M))
        self.assertEqual({c.name for c in header.constants}, {c for c in constants if not c.endswith("_INIT")})
        self.assertTrue(all(f.doc for f in header.functions))

    def test_refuses_what_it_does_not_know(self):
        for addition in ("typedef union u u;\n", "#define OMNIID_NEW_THING 3\n", "typedef int32_t omniid_thing;\n"):
            text = TEXT.replace("typedef struct omniid_engine omniid_engine;", addition + "typedef struct omniid_engine omniid_engine;")
            with self.assertRaises(ValueError, msg=addition):
                generate.enums(c_header.parse(text))
        with self.assertRaises(ValueError):
            generate.structs(c_header.parse(TEXT.replace("  uint32_t heads;", "  long double heads;")))

    def test_a_new_field_and_a_new_function_change_the_declarations(self):
        more = TEXT.replace("  uint32_t image_size;", "  uint32_t image_size;\n  uint64_t colour;")
        more = more.replace("  uint32_t image_size;", "  uint32_t image_size;").replace(
            "OMNIID_ENGINE_INFO_INIT { sizeof(omniid_engine_info),", "OMNIID_ENGINE_INFO_INIT { sizeof(omniid_engine_info), 0,")
        more = more.replace("uint32_t omniid_abi_version(void);", "uint32_t omniid_abi_version(void);\nvoid omniid_new(size_t count, const float *values);")
        header = c_header.parse(more)
        self.assertIn("public ulong Colour;", generate.structs(header))
        self.assertIn("public static extern void omniid_new(UIntPtr count, float* values);", generate.methods(header))
        # A field without a value in the struct's _INIT macro does not pass.
        with self.assertRaises(ValueError):
            c_header.parse(TEXT.replace("  uint32_t image_size;", "  uint32_t image_size;\n  uint64_t colour;"))


if __name__ == "__main__":
    unittest.main(verbosity=0)
