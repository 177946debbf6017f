"""Why a region may be worth learning from. Must run on Python 3.6."""

from typing import List, Optional

import numpy as np


def reasons(
    probabilities: np.ndarray, decided: Optional[int], drifts: bool, margin: float, drawn: bool
) -> List[str]:  # fmt: skip
    """All that hold for a region with these probabilities (K,), the most telling first (`capture_facts.REASONS`).

    `decided` is the class that is decided for its track after this region, if any.
    """
    ordered = np.sort(probabilities)
    found = {
        "disagrees": decided is not None and int(np.argmax(probabilities)) != decided,
        "unsure": len(ordered) > 1 and ordered[-1] - ordered[-2] < margin,
        "drifts": drifts,
        "random": drawn,
    }
    return [reason for reason, holds in found.items() if holds]
