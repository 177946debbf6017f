"""Where this package lies, for processes of its own: they find it from whatever folder they are started in."""

import os

REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 2))


def search_path() -> str:
    """PYTHONPATH for a process that imports `runners`."""
    return os.pathsep.join(filter(None, [REPOSITORY, os.environ.get("PYTHONPATH")]))
