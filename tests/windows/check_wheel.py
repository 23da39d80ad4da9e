#!/usr/bin/env python3
"""Checks the files of a wheel for Windows: its tag, its record, and the DLL where the package looks for it.

    check_wheel.py WHEEL [EXTRACT_TO]
"""

import base64
import csv
import hashlib
import io
import struct
import sys
import zipfile
from pathlib import Path

LIBRARY = "omniid/prefix/bin/omniid.dll"


def main(wheel, extract_to=None):
    name = Path(wheel).name
    assert name.startswith("omniid-") and name.endswith("-py3-none-win_amd64.whl"), name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert len({one.lower() for one in names}) == len(names), "two names that Windows takes for one"
        for one in names:
            assert not set(one) & set('<>:"|?*\\'), one
        [about] = [one for one in names if one.endswith(".dist-info/WHEEL")]
        lines = archive.read(about).decode().splitlines()
        assert "Root-Is-Purelib: false" in lines and "Tag: py3-none-win_amd64" in lines, lines
        [record] = [one for one in names if one.endswith(".dist-info/RECORD")]
        rows = list(csv.reader(io.StringIO(archive.read(record).decode())))
        assert sorted(row[0] for row in rows) == sorted(names)
        for path, digest, size in rows:
            if path != record:
                data = archive.read(path)
                kind, _, value = digest.partition("=")
                own = base64.urlsafe_b64encode(hashlib.new(kind, data).digest()).rstrip(b"=").decode()
                assert (own, len(data)) == (value, int(size)), path
        needed = {LIBRARY, "omniid/prefix/include/omniid.h", "omniid/__init__.py", "omniid/_library.py"}
        needed |= {f"omniid/prefix/lib/{one}" for one in ("libomniid.dll.a", "cmake/OmniID/OmniIDConfig.cmake")}
        assert needed <= set(names), needed - set(names)
        assert not any(one.endswith((".so", ".dylib", ".a.1")) for one in names), names
        library = archive.read(LIBRARY)
        header = struct.unpack_from("<I", library, 0x3C)[0]
        machine, magic = struct.unpack_from("<H", library, header + 4)[0], struct.unpack_from("<H", library, header + 24)
        assert library[header : header + 4] == b"PE\0\0" and machine == 0x8664 and magic == (0x20B,), "no x86-64 DLL"
        if extract_to:
            archive.extractall(extract_to)
    print(f"{name}: {len(names)} files, omniid.dll of {len(library) / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
