"""The Python of a Jetson TX2, for tests of what runs there."""

import shutil
import subprocess
from pathlib import Path

import pytest


def python_3_6() -> Path:
    """Where a Python 3.6 is installed (the folder with bin/ and lib/); skips the test where there is none."""
    found = shutil.which("python3.6")
    program = Path(found) if found else next(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"), None)
    if program is None or subprocess.run([program, "-c", ""], capture_output=True).returncode:
        pytest.skip("there is no Python 3.6 here (python3.6 on the PATH, or pyenv's)")
    return program.resolve().parents[1]
