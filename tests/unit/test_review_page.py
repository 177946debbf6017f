"""The review page in a real browser: keys, undo, going on after a reload, saving and loading, a phone, both schemes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.ingest import review_page
from pipeline.ingest.decisions import BY, read
from pipeline.ingest.proposals import Proposal
from pipeline.ingest.pulled import Pulled
from runners.contract import capture_facts
from tests.browser import BROWSER
from tests.captures import CLASSES, facts, picture, png
from tests.unit.test_history import contrast, luminance

HOSTILE = "</script><script>document.title='owned'</script>"
COUNT = 6


@pytest.fixture(scope="module")
def proposals(tmp_path_factory: pytest.TempPathFactory) -> list[Proposal]:
    """Six captures; the first two are of one track, and a device says of itself what it likes."""
    folder, found = tmp_path_factory.mktemp("pulled"), []
    for number in range(COUNT):
        image, label = picture(CLASSES[number % 3], number), CLASSES[number % 3]
        told = facts(f"cam-1/c{number}", image, png(image), group=f"b1-0-{max(number, 1)}", answer={HOSTILE: 0.9})
        (folder / f"{number}.png").write_bytes(png(image))
        capture = Pulled(capture_facts.from_json(told), folder / f"{number}.png")
        found.append(Proposal(capture, label, 0.8, HOSTILE, 0.9, (f"the device said {HOSTILE}",), 1.0))
    return found


def test_nothing_that_a_device_says_is_part_of_the_page(proposals: list[Proposal]) -> None:
    text = review_page.html("lenet-5", list(CLASSES), proposals)
    assert HOSTILE not in text
    assert text.count("<script") == text.count("</script>") == 2
    content = json.loads(re.findall(r'id="content">(.*?)</script>', text)[0])
    assert content["items"][0]["why"] == [f"the device said {HOSTILE}"]


def test_a_page_about_nothing_is_a_page_too() -> None:
    assert "No capture waits for a decision" in review_page.html("lenet-5", list(CLASSES), [])


@pytest.fixture(scope="module")
def page_file(proposals: list[Proposal], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "review.html"
    file.write_text(review_page.html("lenet-5", list(CLASSES), proposals), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if BROWSER is None:
        pytest.skip("no Chromium here: `apt-get install chromium`")
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright here: `make develop`")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield opened
        opened.close()


def opened(browser: Any, file: Path, **how: Any) -> tuple[Any, list[str]]:
    """The page in a browser that nobody used before, and all that went wrong or that it asked a network for."""
    page = browser.new_context(offline=True, **how).new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
    page.on("request", lambda asked: faults.append(asked.url) if asked.url.startswith("http") else None)
    page.goto(file.as_uri())
    return page, faults


def saved(page: Any, folder: Path) -> list[tuple[str, str | None]]:
    """What the page saves, as `edgeproof ingest apply` reads it."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save decisions.json").click()
    download.value.save_as(folder / "decisions.json")
    return [(one.capture, one.label) for one in read(folder / "decisions.json")]


def test_keys_decide_undo_takes_back_and_a_reload_goes_on(browser: Any, page_file: Path, tmp_path: Path) -> None:
    page, faults = opened(browser, page_file)
    assert page.get_by_text("0 of 6 decided.").is_visible()
    press = page.keyboard.press
    press("Enter")  # as proposed: blue
    press("3")  # red, in place of green
    assert page.get_by_role("status").inner_text() == "cam-1/c1: red."
    press("s")  # c2 is skipped
    press("x")  # c3 is rejected
    press("1")  # c4, a slip
    press("u")
    assert page.get_by_role("status").inner_text() == "cam-1/c4: taken back."
    press("2")
    page.reload()
    assert page.get_by_text("4 of 6 decided.").is_visible()
    assert page.get_by_role("status").inner_text() == "4 decisions were kept in this browser."
    assert page.get_by_role("heading", level=2).inner_text() == "3. red, 80 %", "the first that is open"
    expected = [("cam-1/c0", "blue"), ("cam-1/c1", "red"), ("cam-1/c3", None), ("cam-1/c4", "green")]
    assert sorted(saved(page, tmp_path)) == expected
    press("3")
    press("3")
    assert "All are decided" in page.get_by_role("status").inner_text()
    assert (faults, page.title()) == ([], "edgeproof: review of captures")


def test_what_was_saved_on_one_machine_is_gone_on_with_on_another(
    browser: Any, page_file: Path, proposals: list[Proposal], tmp_path: Path
) -> None:
    page, faults = opened(browser, page_file)
    known, other = proposals[1].capture.facts, proposals[2].capture.facts
    decisions = [
        {"capture": "cam-1/c1", "sha256": known.sha256, "class": "green"},
        {"capture": "cam-1/c2", "sha256": known.sha256, "class": "green"},  # another picture of that name
        {"capture": "cam-9/c2", "sha256": other.sha256, "class": "green"},
        {"capture": "cam-1/c2", "sha256": other.sha256, "class": "no class"},
    ]
    (tmp_path / "before.json").write_text(json.dumps({"by": BY, "decisions": decisions}))
    page.get_by_label("Load decisions.json").set_input_files(tmp_path / "before.json")
    page.get_by_text("1 decisions loaded, 3 are not about these captures.").wait_for()
    assert saved(page, tmp_path) == [("cam-1/c1", "green")]
    (tmp_path / "before.json").write_text("[")
    page.get_by_label("Load decisions.json").set_input_files(tmp_path / "before.json")
    page.get_by_text("That is no file of decisions.").wait_for()
    assert saved(page, tmp_path) == [("cam-1/c1", "green")]
    assert faults == []


COLOURS = """() => {
  const of = (element, what) => getComputedStyle(element)[what];
  const card = of(document.querySelector(".card"), "backgroundColor"), page = of(document.body, "backgroundColor");
  const pressed = document.querySelector("#classes button[aria-pressed=true]");
  return {page, wide: document.documentElement.scrollWidth - innerWidth, pairs: [
    [of(document.body, "color"), page], [of(document.querySelector(".faint"), "color"), page],
    [of(document.querySelector("dt"), "color"), card], [of(document.querySelector("#reject"), "color"), card],
    [of(pressed, "color"), of(pressed, "backgroundColor")],
  ]};
}"""


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=pytest.mark.nightly), "dark"])
def test_on_a_phone_fingers_do_the_same(browser: Any, page_file: Path, tmp_path: Path, scheme: str) -> None:
    page, faults = opened(
        browser, page_file, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, color_scheme=scheme
    )
    page.get_by_role("button", name="green", exact=True).tap()
    page.get_by_role("button", name="Reject").tap()
    page.get_by_role("button", name="Undo").tap()
    page.get_by_role("button", name="Back").tap()
    told = page.evaluate(COLOURS)
    assert told["wide"] <= 0, "nothing is wider than the screen"
    assert (luminance(told["page"]) > 0.5) == (scheme == "light")
    assert [pair for pair in told["pairs"] if contrast(*pair) < 4.5] == []
    buttons = [button.bounding_box() for button in page.locator("button, .file").all() if button.is_visible()]
    assert min(box["height"] for box in buttons) >= 44, "a finger's width"
    assert saved(page, tmp_path) == [("cam-1/c0", "green")]
    assert faults == []


def test_who_sees_nothing_is_told_all(browser: Any, page_file: Path) -> None:
    """Every control has a name, every picture says what it is, and Tab reaches all of them in their order."""
    page, _ = opened(browser, page_file)
    tree = page.locator("body").aria_snapshot()
    for line in ('img "capture cam-1/c0, proposed blue"', 'progressbar "decided"', 'group "what it shows"', "status"):
        assert line in tree, tree
    assert not re.search(r"button$", tree, re.MULTILINE), "a button without a name"
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText.split('\\n')[0].trim()"))
    assert reached[:6] == ["blue", "green", "red", "Reject", "Skip", "Back"], reached
    page.get_by_role("button", name="green", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("status").inner_text() == "cam-1/c0: green.", "the button, not what was proposed"
