#!/usr/bin/env python3
"""The C# declarations follow the header."""

import sys
import unittest

sys.dont_write_bytecode = True
import generate

TEXT = generate.HEADER.read_text(encoding="utf-8")


def parsed(text):
    return generate.c_header.parse(text)


class GenerateTest(unittest.TestCase):
    def test_refuses_a_type_that_it_does_not_know(self):
        with self.assertRaises(generate.Unexpected):
            generate.structs(parsed(TEXT.replace("  uint32_t heads;", "  wchar_t heads;")))

    def test_a_new_field_and_a_new_function_change_the_declarations(self):
        more = TEXT.replace("  uint32_t image_size;", "  uint32_t image_size;\n  uint64_t colour;")
        more = more.replace("{ sizeof(omniid_engine_info),", "{ sizeof(omniid_engine_info), 0,")
        version = "uint32_t omniid_abi_version(void);"
        more = more.replace(version, f"{version}\nvoid omniid_new(size_t count, const float *values);")
        header = parsed(more)
        self.assertIn("public ulong Colour;", generate.structs(header))
        self.assertIn("public static extern void omniid_new(UIntPtr count, float* values);", generate.methods(header))


if __name__ == "__main__":
    unittest.main(verbosity=0)
