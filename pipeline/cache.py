"""What is kept between runs and may be deleted at any time: downloads and pretrained weights."""

import os
from pathlib import Path


def folder(name: str) -> Path:
    """A folder for `name` in the cache (EDGEPROOF_CACHE, else ~/.cache/edgeproof), made if need be."""
    path = Path(os.environ.get("EDGEPROOF_CACHE") or Path.home() / ".cache" / "edgeproof") / name
    path.mkdir(parents=True, exist_ok=True)
    return path
