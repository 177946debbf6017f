"""Every command with an argument that nobody could mean: a verdict or a line, and nothing crashes, stays or is lost."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import click
import pytest

from pipeline.cli import cli
from tests.commands import edgeproof
from tests.stages.test_damaged_files import tree

FEW, MANY = 16, 1000
# They train or download with any arguments that they take; their options are read as those of the others.
LONG = {"ci retry", "ci search", "data fetch", "emulators install", "repeat", "search"}
WORDS = [
    "", " ", "\n", "../../x", "a" * 5000, "n\udcff", "-", "--", "%s", "{}", "[bold]x", "::error::x", "HEAD", "v1.2.3",
    "atom-x5-e3940", "lenet-5", "int8", "stable", "emulated-atom-x5-e3940", "https://[", "tcp://", "sftp://127.0.0.1:1/x",
    "http://127.0.0.1:1/x", "s3://", "file:///nowhere",
]  # fmt: skip
SECRET = re.compile("key|new_|token")  # may come through a pipe, as from `<(pass show key)`
NUMBERS = [
    "-1",
    "0",
    "1e400",
    "nan",
    "inf",
    "1" + 30 * "0",
    "0x10",
    "",
    "1e-300",
    "\N{ARABIC-INDIC DIGIT THREE}",
    "101",
]
FITTING = {
    "target": "atom-x5-e3940",
    "method": "int8",
    "board": "emulated-atom-x5-e3940",
    "name": "int8",
    "tag": "v1.0.0",
}
ONE_LINE = re.compile(r"(.*\n)*edgeproof: .{1,1010}\n|(.*\n)*Usage: (.*\n)+Error: .*\n")


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """All commands that do something, by their names."""
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from commands(child, (*path, name))
    elif " ".join(path) not in LONG:
        yield " ".join(path), command


def write_files(folder: Path) -> list[str]:
    """Files and folders that are not what anybody wants, and names of none."""
    folder.mkdir()
    noise = Random(0).randbytes(3000)
    for ending in ("onnx", "xml", "json", "yaml", "csv", "npz", "npy", "png", "pem", "tar", "html"):
        (folder / f"noise.{ending}").write_bytes(noise)
    contents = {"list": "[1, 2]", "object": "{}", "null": "null", "nan": '{"a": NaN}', "deep": "[" * 100_000}
    for name, text in contents.items():
        (folder / f"{name}.json").write_text(text)
    (folder / "empty").touch()
    (folder / "head.csv").write_text("file,class\n")
    (folder / "new\nline").write_bytes(noise)
    (folder / os.fsdecode(b"\xff")).write_bytes(noise)
    (folder / "folder").mkdir()
    (folder / "photos/a").mkdir(parents=True)
    (folder / "photos/a/x.png").write_bytes(noise)
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    return [*sorted(str(path) for path in folder.iterdir()), str(folder / "empty/x"), "x" * 300, "", ".", "..", "-"]


def drawn(command: click.Command, random: Random, files: list[str], project: Path) -> list[str]:
    """Arguments of which one is hostile, or a few."""
    taken = [one for one in command.params if one.required or random.random() < 0.35]
    hostile = random.choice(taken) if taken else None
    options, arguments = [], []
    for one in taken:
        if isinstance(one, click.Option) and one.is_flag:
            options.append(random.choice([*one.opts, *one.secondary_opts]))
            continue
        if one is hostile or random.random() < 0.15:
            numbers = isinstance(one.type, click.IntRange | click.FloatRange)
            value = random.choice(NUMBERS if numbers else files if isinstance(one.type, click.Path) else WORDS + files)
            value = "-" if value.endswith("/pipe") and SECRET.search(str(one.name)) else value
        else:
            value = fitting(one, random, project)
        if isinstance(one, click.Option):
            options.append(f"{one.opts[0]}={value}")
        else:
            arguments.append(value)
    return [*options, "--", *arguments] if arguments else options


def fitting(one: click.Parameter, random: Random, project: Path) -> str:
    """What somebody would give who means well."""
    if isinstance(one.type, click.Choice):
        return str(random.choice(list(one.type.choices)))
    if isinstance(one.type, click.IntRange | click.FloatRange):
        return "2"
    if one.name in ("model", "reference") and isinstance(one.type, click.Path):
        return str(random.choice([project / "model.onnx", *sorted(project.glob("artifacts/export/*/*/*/model.onnx"))]))
    if isinstance(one.type, click.Path):
        return str(project / "data" if one.name in ("data", "calibration", "source", "photos") else project / "made")
    return FITTING.get(str(one.name), "lenet-5")


def hold(count: int, prepared: Path, folder: Path) -> None:
    """Run so many commands, and say what came of them all."""
    every = list(commands(cli))
    codes: Counter[int | None] = Counter()
    wrong: list[str] = []

    def try_one(seed: int) -> None:
        random, place = Random(seed), folder / str(seed)
        project, scratch = place / "project", place / "scratch"
        scratch.mkdir(parents=True)
        if random.random() < 0.7:
            shutil.copytree(prepared, project, symlinks=True)
        else:
            project.mkdir()
        files = write_files(place / "hostile")
        name, command = random.choice(every)
        arguments = drawn(command, random, files, project)
        before = tree(place)
        ended = edgeproof([*name.split(), *arguments], project, scratch)
        after = {path: found for path, found in tree(place).items() if not path.startswith("scratch/")}
        codes[ended.code] += 1
        faults = [f"exit code {ended.code}"] if ended.code not in (0, 1, 2, 3) else []
        faults += ["a traceback"] if "Traceback" in ended.said else []
        faults += [f"still runs: {ended.left}"] if ended.left else []
        if ended.code == 2:
            faults += [] if ONE_LINE.fullmatch(ended.said) else ["not one line"]
            faults += (
                ["files are others now"] if any(after.get(path) != found for path, found in before.items()) else []
            )
        wrong.extend(f"seed {seed}, {name} {arguments}: {fault}: {ended.said[-600:]}" for fault in faults)
        shutil.rmtree(place)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(try_one, range(count)))
    print(f"{count} commands with hostile arguments: {dict(codes)}")
    assert wrong == [], "\n".join(wrong)


def test_a_few(prepared: Path, tmp_path: Path) -> None:
    hold(FEW, prepared, tmp_path)


@pytest.mark.nightly
def test_a_thousand(prepared: Path, tmp_path: Path) -> None:
    hold(MANY, prepared, tmp_path)
