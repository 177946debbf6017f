"""Whoever changes a registry may be killed at any moment: it is as before, as after, or the same again finishes it."""

import multiprocessing
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError

from pipeline.cli import cli
from pipeline.release import publishing, signing, verifying
from pipeline.release.release_settings import Phases
from pipeline.release.tuf_registry import Registry
from runners.contract.bundle import NEXT
from tests import lossy_disk
from tests.update.conftest import PATH, Device, Signed

PHASES = Phases()
NAMES = ("replace", "rename", "unlink")
ALL = (*NAMES, "write", "fsync", "mkdir", "open", "link")
MOMENTS = pytest.mark.parametrize("names", [NAMES, pytest.param(ALL, marks=pytest.mark.nightly)], ids=len)
Work = Callable[[Path], object]


def die_at(moment: int, names: tuple[str, ...]) -> None:
    """Let this process be killed before it calls one of these functions of `os` for the `moment`-th time."""
    count = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **named)

        return counting

    for name in names:
        setattr(os, name, counted(getattr(os, name)))
    for name in NAMES:  # where pathlib took hold of them before
        if name == "unlink":
            Path.unlink = lambda path, missing_ok=False: _unlink(path, missing_ok)  # type: ignore[method-assign]
        else:
            setattr(Path, name, lambda path, there, name=name: getattr(os, name)(path, there))


def _unlink(path: Path, missing_ok: bool) -> None:
    try:
        os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        if not missing_ok:
            raise


def stopped(work: Work, prepare: Callable[[int], Path], names: tuple[str, ...]) -> Iterator[Path]:
    """The folders that `work` leaves where it is killed, once at each of its moments."""
    for moment in range(1, 1000):
        folder = prepare(moment)

        def live(moment: int = moment, folder: Path = folder) -> None:
            die_at(moment, names)
            work(folder)

        child = multiprocessing.get_context("fork").Process(target=live)
        child.start()
        child.join(120)
        if child.exitcode == 0:
            assert moment > 3, "it was hardly ever killed"
            return
        assert child.exitcode == -signal.SIGKILL
        yield folder


def view(folder: Path, memory: Path) -> object:
    """What a device makes of it that has been there from the beginning."""
    try:
        offered = Device(folder, memory).offers()
    except RepositoryError:
        return "refused"
    registry = Registry(folder)
    steps = {path: offer.rollout.percent if offer.rollout else 100 for path, offer in registry.offers().items()}
    return registry.root().signed.version, offered, steps


def found(folder: Path) -> list[verifying.Seen]:
    return [seen for seen in verifying.verify(Registry(folder)) if seen.verdict != "pass"]


@pytest.fixture
def another(tmp_path: Path) -> CryptoSigner:
    return signing.make(tmp_path / "another.pem")


@pytest.fixture
def works(
    signed: Signed, another: CryptoSigner, tmp_path: Path, release: Callable[..., Path]
) -> dict[str, tuple[Work, Work]]:
    """What is there before, beyond a first version for everybody, and what is done then."""
    root, online, new = signed.root_key, signed.online_key, signing.make(tmp_path / "new.pem")
    built = release("v1.1.0")

    def publish(folder: Path) -> object:
        return publishing.publish(Registry(folder), online, built, PHASES)

    def rotate(keys: list[CryptoSigner], root: CryptoSigner | None, online: CryptoSigner | None) -> Work:
        return lambda folder: Registry(folder).rotate(keys, root.public_key if root else None, online)

    return {
        "publish": (lambda _: None, publish),
        "promote": (publish, lambda folder: publishing.promote(Registry(folder), online, PHASES, [PATH])),
        "promote to all": (
            publish, lambda folder: publishing.promote(Registry(folder), online, PHASES, [PATH], to_all=True)
        ),
        "roll back": (publish, lambda folder: publishing.roll_back(Registry(folder), online, [PATH])),
        "a new online key": (publish, rotate([root], None, another)),
        "both keys": (publish, rotate([root, new], new, another)),
        "both keys on two machines": (rotate([root], new, another), rotate([new], None, another)),
    }  # fmt: skip


@MOMENTS
@pytest.mark.parametrize(
    "name",
    [
        "publish",
        "promote",
        "roll back",
        "a new online key",
        "both keys on two machines",
        *[pytest.param(name, marks=pytest.mark.nightly) for name in ("promote to all", "both keys")],
    ],
)
def test_a_change_is_there_or_not_or_is_finished_by_the_same_again(
    name: str, names: tuple[str, ...], works: dict[str, tuple[Work, Work]], signed: Signed, tmp_path: Path,
    release: Callable[..., Path],
) -> None:  # fmt: skip
    publishing.publish(Registry(signed.folder), signed.online_key, release("v1.0.0"), PHASES)
    prepared, work = works[name]
    prepared(signed.folder)
    before = view(signed.folder, tmp_path / "device")
    shutil.copytree(signed.folder, tmp_path / "whole")
    work(tmp_path / "whole")
    after = view(tmp_path / "whole", tmp_path / "device of the whole")
    assert before != after != "refused"

    def prepare(moment: int) -> Path:
        shutil.copytree(tmp_path / "device", tmp_path / f"device {moment}")
        return Path(shutil.copytree(signed.folder, tmp_path / f"registry {moment}"))

    seen = []
    for folder in stopped(work, prepare, names):
        memory = tmp_path / folder.name.replace("registry", "device")
        seen.append(view(folder, memory))
        if seen[-1] == "refused":
            assert "run the same `edgeproof release rotate` again" in found(folder)[0].found
        else:
            assert found(folder) == []
        if seen[-1] != after or list((folder / "metadata").glob("next.*")):
            work(folder)
        assert view(folder, memory) == after
        assert found(folder) == []
        assert not list((folder / "metadata").glob("next.*"))
    assert {str(one) for one in seen} <= {str(before), str(after), *(["refused"] if "key" in name else [])}
    if "key" in name and names == NAMES:
        assert seen.count("refused") == 1, "only between its last two files"


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.nightly)])
def test_after_a_power_cut_nothing_torn_lies_behind_a_signature(
    every: int, signed: Signed, release: Callable[..., Path], tmp_path: Path
) -> None:
    publishing.publish(Registry(signed.folder), signed.online_key, release("v1.0.0"), PHASES)
    built, lost, at, was_killed = release("v1.1.0"), 0, 0, True
    while was_killed:
        home = Path(shutil.copytree(signed.folder, tmp_path / f"registry {at}"))
        publish = lambda *_, home=home: publishing.publish(Registry(home), signed.online_key, built, PHASES)  # noqa: E731
        done = lossy_disk.cut(home, publish, random.Random(at), at=at)
        assert found(home) == [], at
        publish()
        assert found(home) == [], at
        assert NEXT in "".join(Registry(home).offers())
        was_killed, lost, at = done.was_killed, lost + done.lost, at + every
    assert at > 20
    assert lost


def test_what_was_stopped_half_way_is_finished_by_whoever_changes_the_registry_next(
    signed: Signed, another: CryptoSigner, release: Callable[..., Path], tmp_path: Path
) -> None:
    work: Work = lambda folder: Registry(folder).rotate([signed.root_key], None, another)  # noqa: E731
    prepare = lambda moment: Path(shutil.copytree(signed.folder, tmp_path / str(moment)))  # noqa: E731
    for folder in stopped(work, prepare, NAMES):
        changed = Registry(folder).root().signed.version == 2
        key = another if changed else signed.online_key
        publishing.publish(Registry(folder), key, release(f"v1.{folder.name}.0"), PHASES)
        assert found(folder) == []
        assert Registry(folder).root().signed.version == 1 + changed
        assert Device(folder, tmp_path / f"device {folder.name}").offers() == {PATH: f"v1.{folder.name}.0"}
        assert not list((folder / "metadata").glob("next.*"))


@MOMENTS
def test_a_registry_that_was_begun_is_made_by_the_same_again(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPROOF_KEY_PASSWORD", "secret")

    def init(folder: Path) -> None:
        keys = [f"--{kind}-key={folder}/{kind}.pem" for kind in ("root", "online")]
        given = ["release", "init", "--encrypt", f"--registry={folder}/releases", *keys]
        done = CliRunner().invoke(cli, given, catch_exceptions=False)
        assert done.exit_code == 0, done.output

    made = 0

    def empty(moment: int) -> Path:
        (tmp_path / str(moment)).mkdir()
        return tmp_path / str(moment)

    for folder in stopped(init, empty, names):
        if not Registry(folder / "releases").exists:
            init(folder)
            made += 1
        assert found(folder / "releases") == []
        registry, online = Registry(folder / "releases"), signing.load(folder / "online.pem", lambda _: "")
        assert registry.resign(online) == ["timestamp"]
        assert (folder / "root.pem").stat().st_mode & 0o777 == 0o600
        assert registry.rotate([signing.load(folder / "root.pem", lambda _: "secret")], None, None) == []
    assert made > 4
