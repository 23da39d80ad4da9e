"""The summary of scripts/test counts every runner, and fails for what should not have been skipped."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SUMMARY = Path(__file__).resolve().parents[2] / "scripts" / "test-summary"
LOGS = {
    "rust": "test result: ok. 12 passed; 0 failed; 1 ignored\ntest result: ok. 3 passed; 0 failed; 0 ignored",
    "python": "45 passed, 2 skipped in 3.21s\n",
    "csharp": "Ran 4 tests in 0.1s\n\x1b[32m7 passed, 0 failed\x1b[0m\n",
    "c": "all C programs ran clean\n",
}
SKIPPED = {
    "assets": "assets\tfaces a\tno detector\tset OMNIID_ASSETS\nassets\tfaces b\tno detector\tset OMNIID_ASSETS\n",
    "installable": "installable\tC with clang\tno clang\tapt-get install clang\n",
}


def summary(skipped="", ci="", status="passed"):
    with tempfile.TemporaryDirectory() as folder:
        for step, log in LOGS.items():
            Path(folder, f"{step}.log").write_text(log)
        Path(folder, "steps").write_text("".join(f"{step} {status} 1\n" for step in LOGS))
        Path(folder, "skipped").write_text(skipped)
        return subprocess.run(
            [sys.executable, SUMMARY, folder], env={**os.environ, "CI": ci}, capture_output=True, text=True
        )


class SummaryTest(unittest.TestCase):
    def test_counts_every_runner(self):
        run = summary()
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertIn("cargo test: 15 passed, 0 failed, 1 skipped", run.stdout)
        self.assertIn("Nothing was skipped", run.stdout)
        # A step without counted tests is one check.
        self.assertEqual(run.stdout.splitlines()[-1], "total: 72 passed, 0 failed, 0 skipped")

    def test_names_what_was_skipped_once_for_each_reason(self):
        run = summary(SKIPPED["assets"] + SKIPPED["installable"])
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertIn("  faces a, faces b\n    no detector; to run it: set OMNIID_ASSETS\n", run.stdout)
        self.assertTrue(run.stdout.endswith("total: 72 passed, 0 failed, 3 skipped\n"), run.stdout)

    def test_in_ci_only_what_is_installable_fails(self):
        self.assertEqual(summary(SKIPPED["assets"], ci="true").returncode, 0)
        run = summary(SKIPPED["installable"], ci="true")
        self.assertEqual(run.returncode, 1)
        self.assertIn(
            "FAILED: skipped although a package registry has what is missing: C with clang (no clang)", run.stdout
        )

    def test_a_failed_step_fails(self):
        run = summary(status="failed")
        self.assertEqual(run.returncode, 1)
        self.assertIn("FAILED: step rust failed", run.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=0)
