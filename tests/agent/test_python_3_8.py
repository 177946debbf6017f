"""The agent as on a Jetson TX2: Python 3.8, wheels of pure Python alone, metadata that today's python-tuf wrote."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.agent.conftest import configured, release
from tests.agent.registry import Registry
from tests.old_python import python_3_8

REPOSITORY = Path(__file__).resolve().parents[2]
WANTED = REPOSITORY / "runners/agent/requirements.txt"
ONLY_PURE = ["--only-binary=:all:", "--platform=any", "--implementation=py", "--abi=none", "--python-version=3.8"]


@pytest.fixture
def python() -> Path:
    return python_3_8() / "bin/python3.8"


@pytest.fixture
def wheels(python: Path, request: pytest.FixtureRequest) -> Path:
    """What requirements.txt names, installed; kept from one run to the next."""
    cache = request.config.cache
    assert cache is not None
    folder = cache.mkdir("agent-on-3.8") / hashlib.sha256(WANTED.read_bytes()).hexdigest()[:16]
    if not folder.is_dir():
        command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", *ONLY_PURE]
        fresh = folder.with_suffix(f".{os.getpid()}")
        done = subprocess.run([*command, f"--target={fresh}", "-r", WANTED], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"the wheels cannot be fetched: {done.stderr.strip().splitlines()[-1]}")
        try:
            fresh.rename(folder)
        except OSError:  # another process was quicker
            shutil.rmtree(fresh)
    return folder


def test_it_takes_an_update_a_rotated_key_and_refuses_what_is_older(
    python: Path, wheels: Path, registry: Registry, tmp_path: Path
) -> None:
    config = configured(tmp_path / "etc", registry)

    def agent(*arguments: str) -> subprocess.CompletedProcess[str]:
        given = ["-m", "runners.agent", f"--config={config}", f"--home={tmp_path / 'home'}", *arguments]
        return subprocess.run(
            [python, "-W", "error", *given], cwd=REPOSITORY, capture_output=True, text=True,
            env={"PYTHONPATH": str(wheels), "PYTHONDONTWRITEBYTECODE": "yes"},
        )  # fmt: skip

    assert not [*wheels.rglob("*.so"), *wheels.glob("cryptography*")], "signatures are verified in pure Python there"
    done = agent("once")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "1.0 is on trial"), done.stderr
    before = shutil.copytree(registry.metadata, tmp_path / "before")
    registry.rotate(root_key=True)
    release(registry, "1.1")
    assert agent("once").stderr.splitlines()[-1] == "1.1 is on trial"
    said = json.loads(agent("status", "--json").stdout)
    assert (said["state"], said["version"], said["self_test"]) == ("trial", "1.1", "pass")
    assert said["metadata"]["root"] == 2
    shutil.rmtree(registry.metadata)
    before.rename(registry.metadata)
    done = agent("once")
    assert done.returncode == 1
    assert "the metadata is refused" in done.stderr
