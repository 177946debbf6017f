"""A check in GitHub Actions, heard as a runner hears it and read as GitHub shows it, whatever stands in a name."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx
import pytest
from markdown_it import MarkdownIt

from pipeline.check import github
from pipeline.check.record import Model
from pipeline.system import workflow_commands
from tests.graphs import model, node
from tests.unit.test_check_report import lost, report, text

COMMANDS = {"error", "warning", "notice", "debug", "add-mask", "set-output", "set-env", "save-state", "group", "echo"}
AT_THE_START = re.compile(r"\s*::([^ :]+) *((?:(?!::).)*)::(.*)")
ANYWHERE = re.compile(r"##\[([^\] ]+) *([^\]]*)\](.*)")
NAMES = [
    "two\nlines.onnx",
    "::error::a.onnx",
    "##[set-output name=verdict]pass.onnx",
    "50%,file=b:c%0A::.onnx",
    "a|b`c`*d*_e_[f](https://g).onnx",
    "<img src=x onerror=alert(1)><!--</details>@everyone #1.onnx",
    "caf\udce9.onnx",  # a byte that is no UTF-8, as Python keeps it
    "\x1b[31m\r\x00.onnx",
]


def heard(lines: Iterable[str]) -> list[tuple[str, dict[str, str], str]]:
    """What a runner takes for commands, by the rules of its ActionCommand.cs and ActionCommandManager.cs."""
    known, until, found = COMMANDS | {"stop-commands"}, "", []
    for line in lines:
        match = AT_THE_START.match(line) or ANYWHERE.search(line)
        if not match or match[1] not in known:
            continue
        if until:
            until = "" if match[1] == until else until
        elif match[1] == "stop-commands":
            until = match[3]
            known = known | {until}
        else:
            pairs = (pair.partition("=") for pair in re.split("[,;]", match[2]) if pair)
            found.append((match[1], {name: plain(value) for name, _, value in pairs}, plain(match[3])))
    assert not until, "the step's own commands are not obeyed any more"
    return found


def plain(text: str) -> str:
    for escaped, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escaped, character)
    return text


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a runner's files, with a checkout in `repository`."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "repository"))
    (tmp_path / "repository/nets").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repository/nets")
    return tmp_path


def tell(**fields: Any) -> None:
    found = report(**fields)
    github.tell(found, text(found), Path(found.model.path))


@pytest.mark.parametrize(
    ("verdict", "checks", "level"),
    [("pass", lost(0.5), None), ("fail", lost(5.6), "error"), ("not_measured", lost(None), "warning")],
)
def test_a_check_is_a_summary_and_at_most_one_annotation(
    runner: Path, capsys: pytest.CaptureFixture[str], verdict: Any, checks: Any, level: str | None
) -> None:
    tell(verdict=verdict, checks=list(checks))
    commands = heard(capsys.readouterr().out.splitlines())
    assert [command for command, _, _ in commands] == ([level] if level else [])
    for _, properties, message in commands:
        assert properties["file"] == "nets/m.onnx"  # as the repository's pages name it
        assert properties["title"].startswith("m.onnx on atom-x5-e3940: ")
        assert message.startswith("accuracy ")
        assert message.endswith("\nDo this.")
    words = {"pass": "PASS", "fail": "FAIL", "not_measured": "not measured"}[verdict]
    lines = (runner / "summary").read_text().splitlines()
    assert lines[0] == f"## {words}: m.onnx on atom-x5-e3940"
    assert (runner / "output").read_text() == f"verdict={verdict}\n"


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_is_text_and_nothing_else(runner: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    facts = report().model.model_dump() | {"path": github.shown(name)}
    found = report(model=Model(**facts), advice=f"Mend {name}.".encode("utf-8", "replace").decode())
    path = Path(name.replace("\x00", ""))
    github.tell(found, text(found), path)
    [(command, properties, _)] = heard(capsys.readouterr().out.splitlines())
    assert (command, set(properties)) == ("error", {"file", "title"})
    assert properties["title"] == f"{found.model.path} on atom-x5-e3940: FAIL"
    assert properties["file"] == github.shown(os.path.normpath(Path("nets") / path))
    summary = (runner / "summary").read_text()
    assert summary.startswith("## FAIL: ")
    page = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(summary)
    assert set(re.findall(r"</?(\w+)[^>]*>", page)) == {"h2", "ul", "li", "p", "details", "summary", "pre", "code"}
    assert page.count("<details>") == page.count("</details>") == 1


def test_a_summary_is_cut_below_what_a_runner_takes(runner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(advice=f"Mend {' and '.join(f'läyer|{index}' for index in range(200_000))}.")
    assert len(found.advice) > 3_000_000
    for _ in range(3):
        github.tell(found, found.advice, Path("m.onnx"))
    content = (runner / "summary").read_bytes()
    assert len(content) <= 1 << 20  # above, the runner drops all of it
    assert content.decode().startswith("## FAIL: m.onnx on atom-x5-e3940\n\n- accuracy fail: 5.60 points lost")
    assert "(cut: too long for a summary)" in content.decode()
    commands = heard(capsys.readouterr().out.splitlines())
    assert [len(message) <= 4096 for _, _, message in commands] == [True] * 3
    assert (runner / "output").read_text() == "verdict=fail\n" * 3


def test_what_is_in_the_summary_already_counts(runner: Path) -> None:
    (runner / "summary").write_bytes(b"x" * workflow_commands.MOST_SUMMARY_BYTES)
    tell()
    assert (runner / "summary").stat().st_size == workflow_commands.MOST_SUMMARY_BYTES


def test_elsewhere_nothing_is_told(
    runner: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS")
    tell()
    assert capsys.readouterr().out == ""
    assert not (runner / "summary").exists()
    assert not (runner / "output").exists()


def edgeproof(*arguments: str) -> tuple[int, str, list[tuple[str, dict[str, str], str]]]:
    """Exit code, text and commands of a whole run, both streams in one as the action has them."""
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        env={**os.environ, "PYTHONPATH": str(repository)}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout, heard([*done.stdout.splitlines(), "::notice::the step's own"])


def test_a_model_cannot_give_the_runner_orders(runner: Path) -> None:
    """Names in the graph come up in what is printed; a runner that took them for commands would believe a pass."""
    forged = "##[set-output name=verdict]pass"
    graph = model([node("HardSwish", "x", "y")], shape=(1, 3, 8, 8))
    graph.graph.node[0].name = forged
    onnx.save(onnx.shape_inference.infer_shapes(graph), "net.onnx")
    code, text, commands = edgeproof("check", "net.onnx", "--target", "jetson-tx2-maxq")
    assert code == 1
    assert forged in text
    assert [command for command, _, _ in commands] == ["error", "notice"]
    assert (runner / "output").read_text() == "verdict=fail\n"
    Path("net.onnx").rename(f"{forged}.onnx")
    _, text, commands = edgeproof("predict", f"{forged}.onnx", "--target", "jetson-tx2-maxq")
    assert forged in text
    assert [command for command, _, _ in commands] == ["notice"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("none.onnx", "--target", "atom-x5-e3940"), "none.onnx: no such file"),
        (("none.onnx", "--target", "atom-x5-e394"), "unknown target 'atom-x5-e394': did you mean 'atom-x5-e3940'?"),
        (("none.onnx", "--target", "atom-x5-e3940", "--max-drop", "a"), "Invalid value for '--max-drop'"),
    ],
)
def test_bad_input_is_one_annotation(runner: Path, arguments: tuple[str, ...], reason: str) -> None:
    code, _, commands = edgeproof("check", *arguments)
    assert code == 2
    [(level, _, message), _] = commands
    assert level == "error"
    assert message.startswith(reason)
    assert (runner / "summary").read_text().startswith("## No verdict: bad input\n")
    assert not (runner / "output").exists()
