"""From a device's captures to a better model on it: every part as a user starts it, between real servers."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from project import Project, make_project, with_origin
from whole_loop import TARGET, Device, film, shown

from pipeline.ingest.decisions import BY
from pipeline.release import signing
from pipeline.system import files
from runners.contract import rollout
from tests.agent.hosts import serving
from tests.inboxes import sftp, webdav
from tests.waiting import until

OLD, NEW = "v1.0.0", "v2.0.0"
LIMIT_S = 600.0
USER, PASSWORD = "camera-17", "secret"  # of the WebDAV server


@pytest.fixture
def made(tmp_path: Path) -> Project:
    """The small project, which learns a little longer, with keys and a registry that offers nothing yet."""
    project = make_project(tmp_path / "made")
    project.edit_params(lambda params: params["train"].update(epochs=6, samples_per_epoch=96))
    phases = {"steps": [50, 100], "hours": 0, "least_devices": 1}
    (project.folder / "release.yaml").write_text(yaml.safe_dump({"rollout": phases}))
    project.call("edgeproof", "emulators", "install", "denverton")
    keys = [f"--{kind}-key={tmp_path / kind}.pem" for kind in ("root", "online")]
    project.call("edgeproof", "release", "init", *keys)
    return project


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def asked(project: Project, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of the project that may end in any way."""
    return subprocess.run(
        command, cwd=project.folder, env={**project.machine.environment, **environment}, capture_output=True, text=True
    )


def release_by_tag(project: Project, version: str, online_key: str) -> None:
    """Push a tag, let GitHub release it, and put the assets where devices ask for them; here that is one server."""
    project.call("git", "push", "--quiet", "origin", "main")
    project.call("git", "tag", version)
    event = {"ref": f"refs/tags/{version}", "repository": {"default_branch": "main"}}
    secrets, settings = {signing.ONLINE_KEY: online_key}, {"REGISTRY_BRANCH": "main"}
    run = project.machine.run(project.folder, "push", event, "release.yml", secrets=secrets, settings=settings)
    assert run.code == 0, run.output
    assets = project.folder / "releases/targets" / version
    assets.mkdir()
    for asset in (project.machine.releases / version).glob("*.tar"):
        shutil.copy2(asset, assets)
    project.call("git", "pull", "--quiet", "origin", "main")


def named(first: bool) -> str:
    """A device that is, or is not, in the first step of the new version's rollout."""
    return next(name for n in range(99) if (rollout.place(name := f"camera-{n}", NEW) < 50) == first)


@pytest.mark.nightly
def test_captures_become_a_model_that_devices_take_and_bad_ones_are_refused(
    made: Project, tmp_path: Path, ending: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    project, key = made, f"--online-key={tmp_path / 'online.pem'}"

    # A first model, released by hand, and two devices that take it from an HTTP server.
    project.call("dvc", "repro")
    assert asked(project, "edgeproof", "gate").returncode == os.EX_OK
    project.commit(OLD)
    project.call("git", "tag", OLD)
    project.call("edgeproof", "release", "build", OLD)
    project.call("edgeproof", "release", "publish", key, OLD)
    project.commit("the registry")
    with_origin(project.folder)
    server = ending.enter_context(sftp(tmp_path / "sftp"))
    dav = ending.enter_context(webdav(tmp_path / "dav"))
    (tmp_path / "login").write_text(f"{USER}:{PASSWORD}")
    (tmp_path / "login").chmod(0o600)
    host = ending.enter_context(serving(project.folder / "releases"))
    a = Device(tmp_path / "a", named(first=False), project, host.url, server.settings)
    b = Device(tmp_path / "b", named(first=True), project, host.url, {"url": dav, "login": str(tmp_path / "login")})
    for device in (a, b):
        once = device.agent("once")
        assert (once.returncode, once.stderr.splitlines()[-1]) == (0, f"{OLD} is on trial")
        assert device.status.self_test == "pass"

    # They see something, and send what is worth a look.
    for seed, device in enumerate((a, b)):
        program = device.camera(film(tmp_path / f"short-{seed}.avi", 22, seed))
        assert program.wait_for_the_end()[0] == os.EX_OK
        assert program.events("captured")
        assert "0 left" in device.upload()
    login = dav.replace("//", f"//{USER}@")
    home = str(server.known_in(tmp_path / "me"))
    for place, given in ((server.settings["url"], {"HOME": home}), (login, {"EDGEPROOF_INBOX_PASSWORD": PASSWORD})):
        pulled = asked(project, "edgeproof", "ingest", "pull", place, **given)
        assert pulled.returncode == os.EX_OK, pulled.stderr
        assert not pulled.stdout.startswith("0 new"), pulled

    # A person decides, as the review page writes it down, and the whole pipeline runs on the data's next version.
    project.call("edgeproof", "ingest", "review")
    page = (project.folder / "artifacts/ingest/review.html").read_text()
    decisions = []
    for facts in sorted((project.folder / "artifacts/ingest/captures").glob("*/*.json")):
        capture = f"{facts.parent.name}/{facts.stem}"
        assert capture in page
        sha256 = json.loads(facts.read_text())["sha256"]
        decisions.append({"capture": capture, "sha256": sha256, "class": shown(facts.with_suffix(".png"))})
    assert {one["class"] for one in decisions} >= {"blue", "green", "red"}
    files.write_json(tmp_path / "decisions.json", {"by": BY, "decisions": decisions})
    data = (project.folder / "data.dvc").read_bytes()
    project.call("edgeproof", "ingest", "apply", str(tmp_path / "decisions.json"))
    assert (project.folder / "data.dvc").read_bytes() != data
    assert "Running stage 'train@lenet-5'" in project.call("dvc", "repro")
    assert asked(project, "edgeproof", "gate").returncode == os.EX_OK
    project.call("dvc", "push", "--quiet")
    project.commit(NEW)

    # A tag on it is released on GitHub, for the half of the devices with B, whose camera program runs meanwhile.
    program = b.camera(film(tmp_path / "long.avi", 26, 2, rate=5, height=360, times=40))
    ending.callback(program.wait_for_the_end)
    ending.callback(program.process.kill)
    old = b.slot
    until(lambda: b.state.slot == old and b.state.frames > 0, LIMIT_S)
    tagged_s = time.monotonic()
    release_by_tag(project, NEW, (tmp_path / "online.pem").read_text())
    released_s = time.monotonic()
    mark, before = len(host.asked), b.state
    agent = subprocess.Popen(b.agent_command("run"), cwd=Path(__file__).parents[2])
    ending.callback(agent.wait)
    ending.callback(agent.terminate)
    [switched] = until(lambda: program.events("model_switched"), LIMIT_S)
    paths = [project.folder / "releases" / path[1:] for path, _ in host.asked[mark:]]
    update = {path: path.stat().st_size for path in paths if path.is_file()}
    assert switched.facts["version"] == NEW
    until(lambda: b.state.slot == b.slot != old and b.state.frames > before.frames, LIMIT_S)
    frames, dropped = b.state.frames - before.frames, b.state.dropped - before.dropped
    assert dropped <= max(1, frames // 20), "a busy machine drops some by itself; test_model_switch.py asks for the one"
    number = len(program.events("track_decided"))
    until(lambda: len(program.events("track_decided")) > number, LIMIT_S)
    until(lambda: b.status.state == "running", LIMIT_S)
    assert (b.status.version, b.status.self_test) == (NEW, "pass")
    assert a.agent("once").stderr.splitlines()[-1].startswith(f"{OLD} is "), "it is not its turn"

    # What B reports carries the rollout on, and A has it too.
    def reported(folder: str, *flags: str) -> subprocess.CompletedProcess[str]:
        environment = {"EDGEPROOF_INBOX_PASSWORD": PASSWORD}
        fetched = asked(project, "edgeproof", "release", "reports", folder, "--inbox", login, **environment)
        assert fetched.returncode == os.EX_OK, fetched.stderr
        return asked(project, "edgeproof", "release", "rollout", key, "--inbox", folder, *flags)

    agent.terminate()
    agent.wait()
    b.upload()
    for step in (1, 2):
        done = reported(f"reports-{step}")
        assert done.returncode == os.EX_OK, done
        assert "promote" in done.stdout
    assert a.agent("once").stderr.splitlines()[-1] == f"{NEW} is on trial"

    # A bundle that is known to be bad: B refuses it by itself, goes on with what it runs, and says so.
    runs = b.slot
    project.call("edgeproof", "release", "drill", key, "--target", TARGET)
    b.configure(channel="drill")
    refused = b.agent("once")
    assert (refused.returncode, "self-test: " in refused.stderr) == (1, True), refused.stderr
    assert b.agent("once").returncode == os.EX_OK
    assert (b.slot, b.state.slot, len(program.events("model_switched"))) == (runs, runs, 1)
    b.upload()
    assert b.status.failed is not None
    assert b.status.failed.startswith(f"{NEW}-drill.")
    halted = reported("reports-3", "--channel", "drill")
    assert (halted.returncode, "halt" in halted.stdout) == (1, True), halted
    assert program.process.poll() is None
    onnx = (project.folder / "artifacts/candidates/lenet-5/fp32/model.onnx").stat().st_size
    packed = (project.folder / "artifacts/export/lenet-5/int8/openvino.tar.xz").stat().st_size
    tagged_s, released_s = (switched.monotonic_s - moment for moment in (tagged_s, released_s))
    with capsys.disabled():
        print(
            f"\nan update: {sum(update.values()):,} bytes in {len(paths)} requests, the bundle {max(update.values()):,}"
        )
        print(f"the model in it {packed:,}, the FP32 ONNX file {onnx:,}; {len(decisions)} captures")
        print(f"from the tag to the new model {tagged_s:.1f} s, from the release {released_s:.1f} s")
        print(f"{dropped} of {frames} frames dropped meanwhile")
