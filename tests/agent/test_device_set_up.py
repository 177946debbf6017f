"""What makes a machine a device: its units, two users, and adapters for those that update the whole system."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from runners.agent import VERSION, polling
from tests.agent.bundles import files, tar
from tests.agent.conftest import Start, configured
from tests.agent.registry import BASE, Registry, offer_of

REPOSITORY = Path(__file__).resolve().parents[2]
UNITS, ADAPTERS = REPOSITORY / "runners/agent/units", REPOSITORY / "runners/agent/adapters"


def analyzed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze here")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("name", ["edgeproof-agent.service", "edgeproof-camera.service"])
def test_systemd_takes_a_unit_and_finds_little_exposed(name: str, tmp_path: Path) -> None:
    version = re.search(r"systemd (\d+)", analyzed("--version").stdout)
    if version is None or int(version[1]) < 250:
        pytest.skip("systemd before 250 judges no file")
    text = (UNITS / name).read_text()
    (tmp_path / name).write_text(re.sub(r"(?m)^ExecStart=.*", "ExecStart=/bin/true", text))  # it is not installed here
    [page] = re.findall(r"(?m)^Documentation=file:///opt/edgeproof/(docs/\w+\.md)$", text)
    assert (REPOSITORY / page).is_file()
    assert '-t /opt/edgeproof/docs "$checkout"/docs/*.md' in (UNITS / "install").read_text()
    verified = analyzed("verify", "--man=no", tmp_path / name)
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = analyzed("security", "--offline=true", "--threshold=40", tmp_path / name)
    assert judged.returncode == 0, judged.stdout


def test_no_user_can_write_what_is_the_other_s() -> None:
    folders = (UNITS / "edgeproof-folders.conf").read_text()
    owners = {row[1]: row[3] for row in map(str.split, folders.splitlines()) if row[0] == "d"}
    assert owners.pop("/var/lib/edgeproof/camera") == "edgeproof-camera"
    assert set(owners.values()) == {"edgeproof-agent"}


def test_the_camera_s_user_can_read_what_the_agent_brings(start: Start) -> None:
    umask = os.umask(0o022)
    try:
        device = start()
        with device.alone():
            polling.look(device)
    finally:
        os.umask(umask)
    for path in [Path(device.home, "slots"), *Path(device.home, "slots").rglob("*")]:
        wanted = 0o755 if path.is_dir() else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


@pytest.mark.nightly
class TestAdapters:
    @pytest.fixture
    def environment(self, registry: Registry, tmp_path: Path) -> dict[str, str]:
        config = configured(tmp_path / "etc", registry)
        given = f"--config {config} --home {tmp_path / 'home'}"
        packages = os.pathsep.join(path for path in sys.path if path)
        return {**os.environ, "EDGEPROOF_AGENT": given, "PYTHON": sys.executable, "PYTHONPATH": packages}

    def test_mender_installs_commits_and_rolls_back(
        self, registry: Registry, tmp_path: Path, environment: dict[str, str]
    ) -> None:
        def module(state: str) -> subprocess.CompletedProcess[str]:
            command = [ADAPTERS / "mender-module", state, tmp_path / "work"]
            return subprocess.run(command, capture_output=True, text=True, env=environment)

        def status() -> dict[str, object]:
            command = [UNITS / "edgeproof-agent", "status", "--json"]
            found: dict[str, object] = json.loads(subprocess.run(command, capture_output=True, env=environment).stdout)
            return found

        assert module("SupportsRollback").stdout == "Yes\n"
        (tmp_path / "work/files").mkdir(parents=True)
        (tmp_path / "work/files/it.tar").write_bytes(tar(files("1.0")))
        done = module("ArtifactInstall")
        assert done.returncode == 0, done.stderr
        assert (status()["state"], status()["confirm_later"]) == ("trial", True)
        assert module("ArtifactCommit").returncode == 0
        assert (status()["state"], status()["agent"]) == ("running", VERSION)
        (tmp_path / "work/files/it.tar").write_bytes(b"something else")
        assert module("ArtifactInstall").returncode == 1
        assert module("ArtifactRollback").returncode == 0, "nothing was switched to"

    def test_rauc_brings_a_model_with_the_system(
        self, registry: Registry, tmp_path: Path, environment: dict[str, str]
    ) -> None:
        content = files("1.1")
        registry.offer(BASE, tar(content), offer_of(content))
        registry.publish()
        handler = [ADAPTERS / "rauc-post-install"]
        without = {**environment, "RAUC_BUNDLE_MOUNT_POINT": str(tmp_path)}
        assert subprocess.run(handler, env=without).returncode == 0, "a bundle without a model"
        given = {**environment, "RAUC_BUNDLE_MOUNT_POINT": str(registry.folder)}
        assert subprocess.run(handler, env=given).returncode == 0
        manifest = json.loads((tmp_path / "home/current/manifest.json").read_text())
        assert manifest["version"] == "1.1"


def test_the_agent_says_the_version_of_the_house() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text()
    assert f'\nversion = "{VERSION}"\n' in text
