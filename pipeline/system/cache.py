"""What is kept between runs and may be deleted at any time: downloads and pretrained weights."""

import os
from pathlib import Path

import platformdirs

from pipeline.system.errors import InputError


def folder(name: str) -> Path:
    """A folder for `name` in the cache (EDGEPROOF_CACHE, else the user's own, ~/.cache/edgeproof), made if need be.

    Raises:
        InputError: it cannot be made there.
    """
    path = Path(os.environ.get("EDGEPROOF_CACHE") or platformdirs.user_cache_path("edgeproof")) / name
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = error.strerror or error
        raise InputError(f"{path}: cannot be made ({said}); let EDGEPROOF_CACHE name another folder") from error
    return path
