"""The Pythons of a Jetson TX2, for tests of what runs there."""

import shutil
import subprocess
from pathlib import Path

import pytest


def python_3_6() -> Path:
    """Where a Python 3.6 is installed (the folder with bin/ and lib/); skips the test where there is none."""
    return _python("3.6")


def python_3_8() -> Path:
    """The same of a Python 3.8, which Ubuntu 18.04 has beside its own."""
    return _python("3.8")


def _python(version: str) -> Path:
    name = f"python{version}"
    found = shutil.which(name)  # pyenv's is there whatever is installed
    for program in [*([Path(found)] if found else []), *Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}")]:
        asked = subprocess.run([program, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True)
        if not asked.returncode:
            return Path(asked.stdout.strip())
    pytest.skip(f"there is no Python {version} here ({name} on the PATH, or pyenv's)")
