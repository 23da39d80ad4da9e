"""A plugin of pytest that adds every skipped test to the file that OMNIID_SKIPPED names; see src/lib.rs beside it.

PYTHONPATH=tests/support pytest -p omniid_skips
"""

import os
import re


def _record(report):
    path = os.environ.get("OMNIID_SKIPPED")
    if not path or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = " ".join(reason.removeprefix("Skipped: ").split())
    module = re.search(r"could not import '([\w.]+)'", reason)
    if module:
        kind, how = (
            "installable",
            f"scripts/test --all, or: pip install {module[1].split('.')[0].replace('PIL', 'pillow')}",
        )
    elif reason.startswith("needs "):
        kind, how = "installable", "scripts/setup"
    else:
        kind, how = "platform", "another platform"
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{kind}\t{report.nodeid}\t{reason}\t{how}\n")


pytest_runtest_logreport = _record
pytest_collectreport = _record
