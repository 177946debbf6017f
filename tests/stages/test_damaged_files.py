"""Damaged models and data through the commands: one clear line, and nothing crashes, stays behind or is lost."""

import hashlib
import re
import shutil
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from threading import Lock

import numpy as np
import onnx
import pytest

from tests import damaged_data, damaged_models
from tests.commands import Ended, edgeproof
from tests.heads import network

FEW, MANY = 6, 1000
MOST_MIB = 3000  # of a command and all that it starts
# Names of classes, and places in the sources, of a library or of ours.
RAW = re.compile(r"Traceback|onnxruntime\.|ONNXRuntimeError|\b[\w.]+(Error|Exception):|\.(py|cpp|cc):\d|File \"")
ALOUD = r"(.* of CPU time at most\n|.*; without labels, changed answers count\n)*"  # is said before the work
Damaged = Callable[[int, Path], tuple[list[str], str]]  # damages by a seed in a folder: a command, and what was done


def tree(folder: Path) -> dict[str, tuple[int, str]]:
    """Every path below a folder with its mode and its content; links and pipes are not followed."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        facts = path.lstat()
        content = str(path.readlink()) if stat.S_ISLNK(facts.st_mode) else ""
        if stat.S_ISREG(facts.st_mode):
            with path.open("rb") as stream:
                content = f"{facts.st_size} {hashlib.sha256(stream.read(1 << 20)).hexdigest()}"  # some are of gigabytes
        found[str(path.relative_to(folder))] = facts.st_mode, content
    return found


def faults(ended: Ended, before: object, after: object, project: Path) -> list[str]:
    """What should not have happened."""
    found = []
    if ended.code not in (0, 1, 2, 3):
        found.append(f"exit code {ended.code}")
    if ended.code == 2 and not re.fullmatch(f"{ALOUD}edgeproof: .{{1,1010}}\n", ended.said):
        found.append("not one line")
    if raw := RAW.search(ended.said):
        found.append(f"raw words: {raw.group()}")
    if ended.left:
        found.append(f"still runs: {ended.left}")
    if before != after:
        found.append("the user's files are others now")
    if ended.code == 2 and any(project.iterdir()):
        found.append(f"left behind: {[path.name for path in project.iterdir()]}")
    if ended.peak_mib > MOST_MIB:
        found.append(f"{ended.peak_mib} MiB")
    return [f"{fault}; {' | '.join(ended.said.strip().splitlines()[-3:])[-600:]}" for fault in found]


def hold(seeds: Iterable[int], damage: Damaged, folder: Path) -> None:
    """Run the command of every seed, and say what came of them all."""
    codes: Counter[object] = Counter()
    wrong: list[str] = []
    one_at_a_time = Lock()

    def try_one(seed: int) -> None:
        user, project, scratch = (folder / str(seed) / name for name in ("user", "project", "scratch"))
        for path in (user, project, scratch):
            path.mkdir(parents=True)
        with one_at_a_time:
            command, done = damage(seed, user)
        before = tree(user)
        ended = edgeproof(command, project, scratch)
        codes[command[0], ended.code] += 1
        found = faults(ended, before, tree(user), project)
        wrong.extend(f"seed {seed}, {done}, {' '.join(command)}: {fault}" for fault in found)
        shutil.rmtree(folder / str(seed))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(try_one, seeds))
    print(f"{sum(codes.values())} damaged files: {dict(codes)}")
    assert wrong == [], "\n".join(wrong)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    originals = tmp_path_factory.mktemp("models")
    damaged_models.write_originals(originals)
    numbers = np.random.default_rng(0)
    inputs = numbers.standard_normal((6, damaged_models.CHANNELS, damaged_models.SIZE, damaged_models.SIZE), np.float32)
    np.savez(originals / "data.npz", inputs=inputs, labels=numbers.integers(0, 10, len(inputs)))

    def damage(seed: int, user: Path) -> tuple[list[str], str]:
        path, done = damaged_models.damage_model(seed, originals, user)
        target = "atom-x5-e3940" if "int8" in done or path.suffix == ".xml" or seed % 2 else "jetson-tx2-maxq"
        if seed % 10 == 0:
            method = "int8" if target.startswith("atom") else "fp16"
            command = [
                "compress",
                str(path),
                "--method",
                method,
                "--calibration",
                str(originals / "data.npz"),
                "--output",
                "out",
            ]
        elif seed % 10 == 5:
            command = ["convert", str(path), "--output", "out"]
        else:
            command = ["check", str(path), "--data", str(originals / "data.npz")]
        return [*command, "--target", target], done

    return damage


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    originals = tmp_path_factory.mktemp("data")
    damaged_data.write_originals(originals)
    network(originals / "net.onnx", ("scores", len(damaged_data.CLASSES), "Softmax"))
    model = onnx.load(originals / "net.onnx")
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = damaged_data.SHAPE[1]
    onnx.save(model, originals / "net.onnx")

    def damage(seed: int, user: Path) -> tuple[list[str], str]:
        source, labels, done = damaged_data.damage_data(seed, originals, user)
        given = ["--labels", str(labels)] if labels else []
        target = ["--target", Random(seed).choice(["atom-x5-e3940", "jetson-tx2-maxq"])]
        if seed % 3 == 0 and source.suffix != ".npz" and not labels:
            return ["data", "import", str(source)], done
        if seed % 10 == 1:
            rest = ["--method", "fp16", "--target", "jetson-tx2-maxq", "--output", "out"]
            return ["compress", str(originals / "net.onnx"), "--calibration", str(source), *given, *rest], done
        return ["check", str(originals / "net.onnx"), "--data", str(source), *given, *target], done

    return damage


def test_damaged_models(models: Damaged, tmp_path: Path) -> None:
    hold(range(FEW), models, tmp_path)


def test_damaged_data(data: Damaged, tmp_path: Path) -> None:
    hold(range(FEW), data, tmp_path)


@pytest.mark.nightly
def test_a_thousand_damaged_models(models: Damaged, tmp_path: Path) -> None:
    hold(range(MANY), models, tmp_path)


@pytest.mark.nightly
def test_a_thousand_damaged_data(data: Damaged, tmp_path: Path) -> None:
    hold(range(MANY), data, tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_the_program_itself_says_the_same(models: Damaged, seed: int, tmp_path: Path) -> None:
    """Nothing is imported beforehand here."""
    (tmp_path / "user").mkdir()
    command, _ = models(seed, tmp_path / "user")
    program = Path(sys.executable).parent / "edgeproof"
    answer = subprocess.run([program, *command], cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode in (0, 1, 2, 3), answer.stderr
    assert "Traceback" not in answer.stderr
