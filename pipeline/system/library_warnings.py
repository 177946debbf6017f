"""Warnings of libraries are for whoever programs with them: a user can do nothing about them."""

import sys
import warnings


def hide() -> None:
    """Say nothing of them in this process, unless Python itself was asked to (`-W`, PYTHONWARNINGS)."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
