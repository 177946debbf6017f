"""What a backend answers where a network has several outputs. NumPy only: it is also imported in an emulator."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def answer(outputs: Sequence[NDArray[Any]], rows: int, wanted: int) -> NDArray[np.float32]:
    """The first `wanted` rows of one output (rows, ...), or of several side by side, each flattened, (rows, values).

    Where there is one row, an output without a dimension for it is that row. Another output that has no row for each
    sample goes out as it is, for the parent to refuse.
    """
    if rows == 1:
        outputs = [output if output.shape[:1] == (1,) else output[np.newaxis] for output in outputs]
    for output in outputs:
        if output.shape[:1] != (rows,):
            return np.asarray(output, np.float32)
    if len(outputs) == 1:
        return np.asarray(outputs[0], np.float32)[:wanted]
    return np.concatenate([np.asarray(output, np.float32).reshape(rows, -1) for output in outputs], axis=1)[:wanted]
