"""The history of the main branch: what is remembered, where levels change, and the page in a real browser."""

import html
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.ci import history_log, history_page
from pipeline.ci.change_points import change_points
from pipeline.ci.history_log import Line
from pipeline.cli import cli
from pipeline.system.errors import BadData, InputError
from tests.browser import BROWSER
from tests.fake_github import REPOSITORY, TOKEN, FakeGitHub, serving
from tests.unit.test_comment import ATOM, WORKFLOW, artifact, ended, entry, record, with_number

HOSTILE = "</script><script>document.title='owned'</script>"


def sha(number: int) -> str:
    return f"{number:040x}"


def line(number: int, *entries: dict[str, Any], title: str = "a change") -> Line:
    content = json.loads(record(*entries))
    fields = {"commit": sha(number), "run": number, "time": "2026-11-26T12:00:00Z", "title": title}
    return Line.model_validate_json(json.dumps({**fields, "record": {**content, "commit": None}}))


# --- changes of level -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([95.36] * 40, []),
        ([95.36] * 20 + [95.18] * 20, [20]),
        ([95.36] * 5 + [95.18], [5]),
        ([95.36] * 4 + [95.36 + 1e-12] * 4, []),
        ([0.0] * 4 + [0.18] * 4, [4]),
        ([2.17e6] * 9 + [1.78e6] * 9 + [2.17e6] * 9, [9, 18]),
        ([95.36, 94.0, 95.36], []),
        ([], []),
    ],
)
def test_numbers_that_do_not_vary_change_at_every_step(values: list[float], expected: list[int]) -> None:
    assert change_points(values) == expected


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_in_noise_a_level_has_to_differ_by_more_than_chance(scale: float) -> None:
    false = found = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        level = scale * draw.normal(100, 1, 60)
        false += len(change_points(list(level)))
        stepped = level + scale * 4 * (np.arange(60) >= 30)
        found += any(abs(index - 30) <= 1 for index in change_points(list(stepped)))
    assert false <= 60 * 0.15, "one false alarm in several charts"
    assert found >= 60 * 0.95, "four times the noise is seen where it begins"


# --- the branch -------------------------------------------------------------------------------------------------------


@pytest.fixture
def github(job_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    with serving(FakeGitHub()) as served:
        for name, value in {"API_URL": served.url, "REPOSITORY": REPOSITORY, "TOKEN": TOKEN}.items():
            monkeypatch.setenv(f"GITHUB_{name}", value)
        monkeypatch.setenv("GITHUB_EVENT_PATH", str(job_folder / "event.json"))
        yield served
        assert served.faults == []


def push(github: FakeGitHub, number: int, content: bytes | None, **fields: Any) -> str:
    """A push to main whose run ends, and what `edgeproof ci history` says at its end."""
    event = ended(
        id=number, event="push", head_branch="main", head_sha=sha(number), pull_requests=[],
        head_commit={"message": f"Change {number}\n\nWhy.", "timestamp": "2026-11-26T12:00:00Z"}, **fields,
    )  # fmt: skip
    github.runs.insert(0, {**event["workflow_run"], "workflow_id": WORKFLOW, "status": "completed"})
    if content is not None:
        github.upload(number, "summary", content)
    Path("event.json").write_text(json.dumps({**event, "repository": {"default_branch": "main"}}))
    done = CliRunner().invoke(cli, ["ci", "history", "--out", "site"], catch_exceptions=False)
    return done.output


def remembered(github: FakeGitHub) -> list[Line]:
    return history_log.parse(github.trees[github.commits[github.branches["history"]]["tree"]]["history.jsonl"])


def test_each_run_of_main_adds_a_line_to_a_branch_of_its_own(github: FakeGitHub) -> None:
    assert push(github, 1, artifact()) == "1 commit: site/index.html\n"
    push(github, 2, None)  # documentation
    push(github, 3, artifact(entry(verdict="fail")))
    assert [(one.commit, one.title) for one in remembered(github)] == [(sha(1), "Change 1"), (sha(3), "Change 3")]
    first, second = github.commits.values()
    assert (first["parents"], second["parents"]) == ([], [sha(1)])
    assert Path("site/history.jsonl").read_text() == history_log.text(remembered(github))
    assert '"layers": []' in Path("site/history.jsonl").read_text(), "they are of no use there"


def test_a_run_that_was_repeated_takes_the_place_of_its_line(github: FakeGitHub) -> None:
    for number in (1, 2):
        push(github, number, artifact())
    push(github, 1, artifact(entry(verdict="fail")))
    assert [(one.commit, one.record.verdict) for one in remembered(github)] == [(sha(1), "fail"), (sha(2), "pass")]


def test_what_a_cancelled_job_missed_is_remembered_in_its_place(github: FakeGitHub) -> None:
    push(github, 1, artifact())
    push(github, 3, artifact())
    run = {"id": 2, "workflow_id": WORKFLOW, "event": "push", "head_branch": "main", "status": "completed"}
    github.runs.append({**run, "conclusion": "success", "head_sha": sha(2)})
    github.upload(2, "summary", artifact(entry(method="missed")))
    push(github, 4, artifact())
    assert [one.run for one in remembered(github)] == [1, 2, 3, 4]


def test_two_at_once_lose_nothing(github: FakeGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    push(github, 1, artifact())
    write, others = history_log._write, [line(2, entry(method="other"))]

    def overtaken(api: Any, tip: str, content: str) -> None:
        if others:
            write(api, tip, history_log.text([*remembered(github), others.pop()]))
        write(api, tip, content)

    monkeypatch.setattr(history_log, "_write", overtaken)
    push(github, 3, artifact())
    assert [one.run for one in remembered(github)] == [1, 2, 3]


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "pull_request"},
        {"head_branch": "faster"},
        {"head_repository": {"full_name": "stranger/cameras", "owner": {"login": "stranger"}}},
        {"head_repository": None},
    ],
)
def test_only_the_main_branch_itself_is_remembered(github: FakeGitHub, fields: dict[str, Any]) -> None:
    Path("event.json").write_text(
        json.dumps({**ended(event="push", head_branch="main"), "repository": {"default_branch": "main"}})
    )
    event = json.loads(Path("event.json").read_text())
    event["workflow_run"].update(fields)
    Path("event.json").write_text(json.dumps(event))
    github.upload(event["workflow_run"]["id"], "summary", artifact())
    done = CliRunner().invoke(cli, ["ci", "history", "--out", "site"])
    assert done.exit_code == 2
    assert "not remembered" in done.output
    assert github.branches == {}
    assert not Path("site").exists()


def test_a_page_of_somebody_s_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>mine</title>")
    with pytest.raises(InputError, match=r"index\.html: is there already and is no page that edgeproof wrote"):
        history_page.write(tmp_path, [], "https://github.com/acme/vision")
    (tmp_path / "index.html").unlink()
    for _ in range(2):
        history_page.write(tmp_path, [], "https://github.com/acme/vision")


def test_a_damaged_history_is_left_as_it_is(github: FakeGitHub) -> None:
    push(github, 1, artifact())
    tree = github.trees[github.commits[github.branches["history"]]["tree"]]
    tree["history.jsonl"] += "no JSON\n"
    before = dict(github.branches)
    assert "history.jsonl, line 2: " in push(github, 2, artifact())
    assert github.branches == before
    Path("mine.jsonl").write_text("{}\n")
    with pytest.raises(BadData, match=r"mine\.jsonl, line 1"):
        history_log.lines_of(Path("mine.jsonl"))


def test_a_missing_file_is_one_line(job_folder: Path) -> None:
    done = CliRunner().invoke(cli, ["ci", "history", str(job_folder / "none.jsonl")])
    assert done.exit_code == 2
    assert "git show origin/history:history.jsonl" in done.output


# --- the page ---------------------------------------------------------------------------------------------------------


def board(speed: float, serial: str) -> dict[str, Any]:
    numbers = {"frames_per_s": {"value": speed, "limit": 30, "verdict": "pass"}}
    return entry(lane="device", machine=f"UP Squared, {serial}", numbers=numbers)


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """Twenty commits: accuracy falls at the eleventh, and boards 1 and 2 take turns."""
    found = []
    for number in range(20):
        accuracy = with_number("accuracy_percent", value=95.36 if number < 10 else 94.1)
        measured = board(31 + number % 4 / 10, f"{number % 2 + 1:04}")
        found.append(line(number, accuracy, measured, title=HOSTILE if number == 10 else f"Change {number}"))
    return found


def test_a_line_is_of_one_machine_and_only_it(lines: list[Line]) -> None:
    emulated, measured = history_page._sections(lines)
    assert (emulated.target, emulated.lane, emulated.verdict) == (ATOM, "emulated", "pass")
    assert (measured.lane, measured.machines) == ("device", ["UP Squared, 0001", "UP Squared, 0002"])
    [speed] = measured.candidates[0].charts
    assert [[at for at, _ in series.points] for series in speed.series] == [[*range(0, 20, 2)], [*range(1, 20, 2)]]
    assert speed.changes == [], "the boards differ, their levels do not"
    accuracy = emulated.candidates[0].charts[0]
    assert [(change.text, change.worse) for change in accuracy.changes] == [("−1.26", True)]


def test_nothing_that_a_commit_says_is_part_of_the_page(lines: list[Line]) -> None:
    text = history_page.html(lines, "https://github.com/acme/cameras")
    assert HOSTILE not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert "owned" in json.loads(re.findall(r'id="commits">(.*?)</script>', text)[0])[10]["title"]


def test_a_history_without_commits_is_a_page_too() -> None:
    assert "No commit has been measured yet" in history_page.html([], "")


PROBE = """
<script>
addEventListener("load", () => {
  const told = {errors: errors, wide: document.documentElement.scrollWidth - innerWidth, title: document.title};
  const chart = document.querySelector(".chart"), box = chart.querySelector("svg").getBoundingClientRect();
  const tip = document.getElementById("tip");
  const at = {clientX: box.left + box.width * (6 + 228 * 10 / 19) / 240, clientY: box.top + 5, bubbles: true};
  told.before = tip.hidden;
  chart.dispatchEvent(new PointerEvent("pointermove", at));
  told.hovered = tip.innerText;
  const place = tip.getBoundingClientRect();
  told.inside = place.left >= 0 && place.right <= innerWidth && place.top > box.bottom - 1;
  chart.dispatchEvent(new PointerEvent("pointerleave"));
  told.after = tip.hidden;
  chart.focus();
  for (const key of ["ArrowLeft", "ArrowLeft"]) chart.dispatchEvent(new KeyboardEvent("keydown", {key}));
  told.by_key = tip.innerText;
  const colour = (element, what) => getComputedStyle(element)[what];
  const card = document.querySelector(".card");
  told.page = colour(document.body, "backgroundColor");
  told.pairs = [
    [colour(document.body, "color"), told.page],
    [colour(document.querySelector(".faint"), "color"), told.page],
    [colour(document.querySelector(".head"), "color"), colour(card, "backgroundColor")],
    [colour(document.querySelector(".flag"), "color"), colour(card, "backgroundColor")],
    [colour(document.querySelector("path.dots"), "stroke"), colour(card, "backgroundColor")],
    [colour(tip, "color"), colour(tip, "backgroundColor")],
  ];
  told.drawn = document.querySelector("path.dots").getBoundingClientRect().width;
  document.body.innerHTML = "";
  document.body.append(Object.assign(document.createElement("pre"), {textContent: JSON.stringify(told)}));
});
</script>
"""
ERRORS = "<script>const errors = []; addEventListener('error', (event) => errors.push(event.message));</script>"


def luminance(colour: str) -> float:
    """Of `rgb(r, g, b)`, as WCAG 2 defines it."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: `apt-get install chromium`")
@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("dark", 1280),
        pytest.param("light", 1280, marks=pytest.mark.nightly),
        pytest.param("light", 500, marks=pytest.mark.nightly),
    ],
)
def test_in_a_browser_hovering_shows_the_commit(lines: list[Line], tmp_path: Path, scheme: str, width: int) -> None:
    assert BROWSER
    text = history_page.html(lines, "https://github.com/acme/cameras")
    text = text.replace("<head>", f"<head>{ERRORS}").replace("</body>", f"{PROBE}</body>")
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-extensions", f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},900", f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
            "--dump-dom", (tmp_path / "index.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    told = json.loads(html.unescape(re.findall(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)[-1]))
    assert (told["errors"], told["title"]) == ([], "edgeproof: history")
    assert told["wide"] <= 0, "nothing is wider than the window"
    assert (told["before"], told["after"], told["inside"]) == (True, True, True)
    assert told["hovered"].startswith(f"94.10 ± 1.50 % at {sha(10)[:10]}\n2026-11-26 12:00 · {HOSTILE}")
    assert told["by_key"].startswith(
        f"94.10 ± 1.50 % at {sha(18)[:10]}\n2026-11-26 12:00 · Change 18\nemulated on avx2"
    )
    assert (luminance(told["page"]) > 0.5) == (scheme == "light")
    assert [pair for pair in told["pairs"] if contrast(*pair) < 4.5] == []
    assert told["drawn"] > 100
