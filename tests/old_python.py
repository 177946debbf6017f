"""The Python of a Jetson TX2, for tests of what runs there."""

import shutil
import subprocess
from pathlib import Path

import pytest


def python_3_6() -> Path:
    """Where a Python 3.6 is installed (the folder with bin/ and lib/); skips the test where there is none."""
    found = shutil.which("python3.6")  # pyenv's is there whatever is installed
    for program in [*([Path(found)] if found else []), *Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6")]:
        asked = subprocess.run([program, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True)
        if not asked.returncode:
            return Path(asked.stdout.strip())
    pytest.skip("there is no Python 3.6 here (python3.6 on the PATH, or pyenv's)")
