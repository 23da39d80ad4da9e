#!/usr/bin/env python3
"""Ctrl-C under Wine: the program ends with code 130, says so, and leaves nothing half-written.

    interrupt.py PROGRAM PHOTO WINE

Wine turns the signal of a terminal into the console's event, which the program gets in a thread of its own.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

PROGRAM, PHOTO, WINE = sys.argv[1:4]


class Interrupt(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(dir=os.environ.get("OMNIID_WORK")))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        shutil.copy(PHOTO, self.folder / "me.jpg")
        (self.folder / "old.png").write_bytes(b"old")
        (self.folder / "old.omniid").write_bytes(b"old")

    def content(self):
        return {path: path.is_file() and path.read_bytes() for path in self.folder.rglob("*")}

    def interrupted(self, arguments, after):
        before = self.content()
        program = subprocess.Popen(
            [WINE, PROGRAM, *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        # The program has begun once it has claimed its output; before that Wine itself is interrupted.
        begun = time.monotonic()
        while not any(path.name.endswith(".lock") for path in self.folder.rglob("*")):
            self.assertLess(time.monotonic() - begun, 120, "no work was begun")
            time.sleep(0.02)
        time.sleep(after)
        self.assertIsNone(program.poll(), "it ended before Ctrl-C")
        os.kill(program.pid, signal.SIGINT)
        sent = time.monotonic()
        output, errors = program.communicate(timeout=60)
        self.assertEqual(program.returncode, 130, errors.decode())
        self.assertIn("error[cancelled]", errors.decode())
        self.assertNotIn(b"panicked", errors)
        self.assertLess(time.monotonic() - sent, 30)
        time.sleep(0.2)
        self.assertEqual(self.content(), before)
        return output

    def test_encode(self):
        for after in (0.05, 2):
            photos = ["me.jpg"] * 2000
            self.interrupted(["encode", *photos, "-o", "x.omniid"], after)
            self.interrupted(["encode", *photos, "-o", "old.omniid", "--force"], after)

    def test_generate(self):
        for after in (0.05, 3):
            work = ["generate", "me.jpg", "--steps", "1000", "--views", "all"]
            self.interrupted([*work, "--out", "x.png"], after)
            self.interrupted([*work, "--out", "old.png", "--force"], after)

    def test_errors_as_json(self):
        output = self.interrupted(["encode", *["me.jpg"] * 2000, "-o", "x.omniid", "--json"], 0.5)
        self.assertIn(b'"cancelled"', output)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
