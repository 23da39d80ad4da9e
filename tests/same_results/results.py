"""What Python gets: tokens of some photos and one injection into each layer.

    results.py MODEL INPUTS OUTPUTS PHOTO...

Reads INPUTS/query-N.bin and before-N.bin, writes OUTPUTS/tokens.bin and after-N.bin, f32.
"""

import sys
from pathlib import Path

import numpy as np
from omniid import ConditioningInput, Engine

BATCH, ROWS = 2, 24


def main(model, inputs, outputs, *photos):
    inputs, outputs = Path(inputs), Path(outputs)
    engine = Engine.open(model)
    identity = engine.encode(list(photos)).identity
    identity.tokens().numpy().tofile(outputs / "tokens.bin")
    conditioning = engine.condition(ConditioningInput(identity, scale=0.8))
    for index, layer in enumerate(conditioning.layers):
        shape = (BATCH, ROWS, layer.heads * layer.head_dim)
        query = np.fromfile(inputs / f"query-{index}.bin", np.float32).reshape(shape)
        output = np.fromfile(inputs / f"before-{index}.bin", np.float32).reshape(shape)
        conditioning.inject(index, query, output, scale=0.5, roles=["unconditional", "conditional"])
        output.tofile(outputs / f"after-{index}.bin")


if __name__ == "__main__":
    main(*sys.argv[1:])
