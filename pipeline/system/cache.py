"""What is kept between runs and may be deleted at any time: downloads and pretrained weights."""

import os
from pathlib import Path

import platformdirs


def folder(name: str) -> Path:
    """A folder for `name` in the cache (EDGEPROOF_CACHE, else the user's own, ~/.cache/edgeproof), made if need be."""
    path = Path(os.environ.get("EDGEPROOF_CACHE") or platformdirs.user_cache_path("edgeproof")) / name
    path.mkdir(parents=True, exist_ok=True)
    return path
