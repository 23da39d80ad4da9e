#!/usr/bin/env python3
"""The C# declarations follow the header."""

import sys
import unittest

sys.dont_write_bytecode = True
import generate  # noqa: E402
from c_header import Unexpected, parse  # noqa: E402

TEXT = generate.HEADER.read_text(encoding="utf-8")


class GenerateTest(unittest.TestCase):
    def test_refuses_a_type_that_it_does_not_know(self):
        with self.assertRaises(Unexpected):
            generate.structs(parse(TEXT.replace("  uint32_t heads;", "  wchar_t heads;")))

    def test_a_new_field_and_a_new_function_change_the_declarations(self):
        more = TEXT.replace("  uint32_t image_size;", "  uint32_t image_size;\n  uint64_t colour;")
        more = more.replace("{ sizeof(omniid_engine_info),", "{ sizeof(omniid_engine_info), 0,")
        version = "uint32_t omniid_abi_version(void);"
        more = more.replace(version, f"{version}\nvoid omniid_new(size_t count, const float *values);")
        header = parse(more)
        self.assertIn("public ulong Colour;", generate.structs(header))
        self.assertIn("public static extern void omniid_new(UIntPtr count, float* values);", generate.methods(header))


if __name__ == "__main__":
    unittest.main(verbosity=0)
