"""Compares a contact sheet of the examples with the pictures of `omniid generate --separate`.

compare.py SHEET FOLDER    the sheet has 4 columns, each picture is twice as large as in the folder
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS, ENLARGED, MOST = 4, 2, 1

sheet = np.asarray(Image.open(sys.argv[1]).convert("RGB")).astype(int)
files = sorted(Path(sys.argv[2]).iterdir())
worst = 0
for place, file in enumerate(files):
    expected = np.asarray(Image.open(file).convert("RGB")).astype(int)
    side = ENLARGED * expected.shape[0]
    top, left = place // COLUMNS * side, place % COLUMNS * side
    found = sheet[top : top + side, left : left + side]
    worst = max(worst, np.abs(found - np.kron(expected, np.ones((ENLARGED, ENLARGED, 1), dtype=int))).max())
print(f"{sys.argv[1]}: {len(files)} pictures, at most {worst} of 255 levels from those of omniid generate")
if len(files) != 8 or worst > MOST or sheet.std() < 10:
    sys.exit("the pictures differ")
