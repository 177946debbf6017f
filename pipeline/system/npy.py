"""Arrays of numbers in NumPy's files, which may be damaged."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    """The array in an `.npy` file, all at once or `mapped`. Nothing pickled is loaded.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or no such file.
    """
    try:
        if mapped:
            return np.lib.format.open_memmap(path, mode="r")
        with path.open("rb") as stream:
            found: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
            return found
    except (OSError, ValueError):
        raise
    except Exception as error:  # NumPy reads headers as Python, with all that this may raise
        raise ValueError(str(error).strip() or "its header is damaged") from error
