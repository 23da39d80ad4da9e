#!/usr/bin/env python3
"""The Unity package is well formed: JSON, .meta files, GUIDs, import settings, assembly definitions.

test_package.py PACKAGE [PACKAGE AGAIN]    an assembled package with all platforms; a second one must be the same
"""

import filecmp
import json
import re
import sys
import unittest
from pathlib import Path

PACKAGE = Path(sys.argv[1])
SECOND = Path(sys.argv[2]) if len(sys.argv) > 2 else None

# What each library must be enabled for: the editor's system and processor, the build target and its processor.
EXPECTED = {
    "Plugins/Linux/x86_64/libomniid.so": ({"OS": "Linux", "CPU": "x86_64"}, "Linux64", "x86_64"),
    "Plugins/Windows/x86_64/omniid.dll": ({"OS": "Windows", "CPU": "x86_64"}, "Win64", "x86_64"),
    "Plugins/macOS/arm64/libomniid.dylib": ({"OS": "OSX", "CPU": "ARM64"}, "OSXUniversal", "ARM64"),
    "Plugins/macOS/x86_64/libomniid.dylib": ({"OS": "OSX", "CPU": "x86_64"}, "OSXUniversal", "x86_64"),
    "Plugins/Android/arm64-v8a/libomniid.so": (None, "Android", "ARM64"),
    "Plugins/iOS/arm64/libomniid.a": (None, "iOS", "ARM64"),
}


def visible():
    """Files and folders that Unity sees, without .meta files."""
    for path in sorted(PACKAGE.rglob("*")):
        if not any(part.endswith("~") for part in path.relative_to(PACKAGE).parts) and path.suffix != ".meta":
            yield path


def platforms(text):
    """{target: (enabled, settings)} of a PluginImporter."""
    found = {}
    for key, name, enabled, settings in re.findall(
        r"  - first:\n      (\w*): (\w*)\n    second:\n      enabled: (\d)\n"
        r"      settings:(?: \{\})?\n((?:        .*\n)*)",
        text,
    ):
        found[name or key] = (enabled == "1", dict(line.strip().split(":", 1) for line in settings.splitlines()))
    return {name: (on, {k: v.strip() for k, v in settings.items()}) for name, (on, settings) in found.items()}


class PackageTest(unittest.TestCase):
    def test_every_file_has_a_meta_file_and_every_meta_file_a_file(self):
        for path in visible():
            self.assertTrue(path.with_name(path.name + ".meta").is_file(), path)
        for path in PACKAGE.rglob("*.meta"):
            self.assertTrue(path.with_suffix("").exists(), path)
            self.assertEqual(path.read_text().splitlines()[0], "fileFormatVersion: 2")
            self.assertIn("folderAsset: yes" if path.with_suffix("").is_dir() else "Importer:", path.read_text())

    def test_guids_are_unique(self):
        guids = [
            re.search(r"^guid: ([0-9a-f]{32})$", path.read_text(), re.M).group(1) for path in PACKAGE.rglob("*.meta")
        ]
        self.assertGreater(len(guids), 30)
        self.assertEqual(len(guids), len(set(guids)))

    def test_libraries_are_for_their_own_platform_only(self):
        for name, (editor, target, cpu) in EXPECTED.items():
            found = platforms((PACKAGE / (name + ".meta")).read_text())
            on = {key for key, (enabled, _) in found.items() if enabled}
            self.assertEqual(on, {target} | ({"Editor"} if editor else set()), name)
            self.assertEqual(found[target][1]["CPU"], cpu, name)
            if editor:
                self.assertLessEqual(editor.items(), found["Editor"][1].items(), name)
            excluded = (
                {key[len("Exclude ") :] for key, value in found["Any"][1].items() if value == "0"}
                if found["Any"][1]
                else None
            )
            text = (PACKAGE / (name + ".meta")).read_text()
            included = set(re.findall(r"Exclude (\w+): 0", text))
            self.assertEqual(included, on, name)
            self.assertTrue(excluded is None or excluded == on, name)
        libraries = {
            p.relative_to(PACKAGE).as_posix()
            for p in (PACKAGE / "Plugins").rglob("*")
            if p.is_file() and p.suffix != ".meta"
        }
        self.assertEqual(libraries, set(EXPECTED))

    def test_manifest(self):
        manifest = json.loads((PACKAGE / "package.json").read_text())
        self.assertRegex(manifest["name"], r"^[a-z0-9.]+$")
        self.assertRegex(manifest["version"], r"^\d+\.\d+\.\d+$")
        cargo = (Path(__file__).resolve().parents[3] / "Cargo.toml").read_text()
        self.assertIn(f'version = "{manifest["version"]}"', cargo)
        for sample in manifest["samples"]:
            self.assertTrue(list((PACKAGE / sample["path"]).glob("*.cs")), sample)

    def test_assembly_definitions_refer_to_each_other(self):
        definitions = {p: json.loads(p.read_text()) for p in PACKAGE.rglob("*.asmdef")}
        names = [d["name"] for d in definitions.values()]
        self.assertEqual(
            sorted(names),
            [
                "OmniID",
                "OmniID.Unity",
                "OmniID.Unity.Editor",
                "OmniID.Unity.InferenceEngine",
                "OmniID.Unity.Samples",
                "OmniID.Unity.Samples.DrawPerson",
            ],
        )
        for path, definition in definitions.items():
            others = set(definition.get("references", [])) - set(names)
            self.assertLessEqual(others, {"Unity.InferenceEngine"}, path)
            # What needs a package of Unity's is compiled only where that package is.
            defines = [entry["define"] for entry in definition.get("versionDefines", [])]
            self.assertEqual(definition.get("defineConstraints", []), defines, path)
            self.assertEqual(bool(others), bool(defines), path)
            unsafe = any(
                re.search(r"\bunsafe\b", c.read_text())
                for c in path.parent.rglob("*.cs")
                if not any(q != path and q.parent in c.parents and path.parent in q.parents for q in definitions)
            )
            self.assertEqual(unsafe, definition.get("allowUnsafeCode", False), path)
        editor = next(d for d in definitions.values() if d["name"].endswith(".Editor"))
        self.assertEqual(editor["includePlatforms"], ["Editor"])

    @unittest.skipIf(SECOND is None, "no second package")
    def test_assembling_again_gives_the_same(self):
        first = sorted(p.relative_to(PACKAGE) for p in PACKAGE.rglob("*") if p.is_file())
        self.assertEqual(first, sorted(p.relative_to(SECOND) for p in SECOND.rglob("*") if p.is_file()))
        for path in first:
            self.assertTrue(filecmp.cmp(PACKAGE / path, SECOND / path, shallow=False), path)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=0)
