#!/usr/bin/env python3
"""Checks an assembled plugin: test_plugin.py PLUGIN [SECOND]; the second one must be the same."""

import filecmp
import json
import subprocess
import sys
import unittest
from pathlib import Path

PLUGIN = Path(sys.argv[1])
SECOND = Path(sys.argv[2]) if len(sys.argv) > 2 else None
ROOT = Path(__file__).resolve().parents[3]


def files(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


class PluginTest(unittest.TestCase):
    def test_descriptor(self):
        descriptor = json.loads((PLUGIN / "OmniID.uplugin").read_text())
        self.assertEqual(descriptor["FileVersion"], 3)
        self.assertIn(
            f'#define OMNIID_VERSION "{descriptor["VersionName"]}"', (ROOT / "include" / "omniid.h").read_text()
        )
        for module in descriptor["Modules"]:
            self.assertTrue((PLUGIN / "Source" / module["Name"] / f"{module['Name']}.Build.cs").is_file(), module)
            self.assertEqual(set(module["PlatformAllowList"]), set(descriptor["SupportedTargetPlatforms"]))

    def test_headers_and_licences_are_those_of_the_repository(self):
        include = PLUGIN / "Source/ThirdParty/OmniIDLibrary/include"
        self.assertEqual(files(include), files(ROOT / "include"))
        for path in files(include):
            self.assertTrue(filecmp.cmp(include / path, ROOT / "include" / path, shallow=False), path)
        for name in ("LICENSE-MIT", "LICENSE-APACHE"):
            self.assertTrue(filecmp.cmp(PLUGIN / name, ROOT / name, shallow=False))

    def test_the_library_has_the_name_that_is_in_it(self):
        library = PLUGIN / "Binaries/ThirdParty/OmniIDLibrary/Linux"
        (staged,) = library.glob("libomniid.so.*")
        dynamic = subprocess.run(["readelf", "-d", staged], capture_output=True, text=True, check=True).stdout
        self.assertIn(f"soname: [{staged.name}]", dynamic)
        self.assertTrue(filecmp.cmp(staged, library / "libomniid.so", shallow=False))

    def test_the_core_knows_nothing_of_unreal(self):
        core = PLUGIN / "Source/OmniID/Private/Core"
        self.assertGreaterEqual(len(files(core)), 4)
        for path in core.iterdir():
            includes = [line.split()[1] for line in path.read_text().splitlines() if line.startswith("#include")]
            own = {'"Job.h"', '"Calls.h"', '"OmniIDNative.h"'}
            self.assertTrue(all(name in own or name[0] == "<" for name in includes), (path, includes))

    def test_misuse_of_assemble_is_refused(self):
        script = ROOT / "bindings/unreal/assemble"
        for arguments in (
            ["x"],
            ["x", "--library", "amiga=y"],
            ["x", "--library", "linux=/nowhere"],
            ["x", "--library", f"windows={script}"],
            [str(PLUGIN.parent), "--library", f"linux={script}"],
        ):
            run = subprocess.run([script, *arguments], capture_output=True, text=True, cwd=PLUGIN.parent)
            self.assertEqual(run.returncode, 2, run.stderr)
        self.assertFalse((PLUGIN.parent / "x").exists())

    @unittest.skipIf(SECOND is None, "no second plugin")
    def test_assembling_again_gives_the_same(self):
        self.assertEqual(files(PLUGIN), files(SECOND))
        for path in files(PLUGIN):
            self.assertTrue(filecmp.cmp(PLUGIN / path, SECOND / path, shallow=False), path)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=0)
