#!/usr/bin/env python3
"""Stand-in for pipx: `pipx install SPEC` with the packages that this Python has, which would take minutes to fetch.

The tool gets an environment of its own in PIPX_HOME, and a link in PIPX_BIN_DIR.
"""

import os
import subprocess
import sys
from pathlib import Path

TOOL = "edgeproof"


def share_packages(venv: Path) -> None:
    """The packages of this Python, side by side in one folder; no edgeproof, and no pip either, as with uv."""
    [shared] = venv.glob("lib/python*/site-packages")
    places = [Path(place) for place in sys.path if Path(place).name == "site-packages"]
    packages = {path.name: path for place in reversed(places) for path in place.iterdir() if path.suffix != ".pth"}
    for name, path in packages.items():
        if not name.startswith((TOOL, "__editable__", "pip")):
            (shared / name).symlink_to(path)


verb, spec = sys.argv[1:]
if verb != "install":
    sys.exit("this stand-in knows `pipx install SPEC` only")
venv = Path(os.environ["PIPX_HOME"], "venvs", TOOL)
subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
share_packages(venv)
pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", venv]
subprocess.run([*pip, "install", "--no-deps", "--no-index", "--no-build-isolation", spec], check=True)
link = Path(os.environ["PIPX_BIN_DIR"], TOOL)
link.parent.mkdir(parents=True, exist_ok=True)
link.symlink_to(venv / "bin" / TOOL)
subprocess.run([link, "--version"], check=True)
