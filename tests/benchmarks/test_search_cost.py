"""What a whole search costs: two pretrained networks on the default clip, for the Atom, with the time of each part.

It takes long, so it keeps its project in .benchmarks/search and goes on there when it is started again; the times are
those of all starts together.
"""

import json
import shutil
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.project import layout

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = REPOSITORY / ".benchmarks" / "search"
TARGET, TRIALS = "atom-x5-e3940", "6"
MODELS = ["efficientnet-lite0", "mobilenet-v2"]


def run(*arguments: str) -> str:
    answer = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert answer.exit_code in (0, 1), answer.output
    return answer.output


@pytest.mark.filterwarnings("ignore")
def test_a_search_states_what_each_part_of_it_cost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    PROJECT.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(PROJECT)
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    (PROJECT / "params.yaml").write_text(yaml.safe_dump({**params, "models": MODELS}))
    shutil.copyfile(REPOSITORY / "data.dvc", PROJECT / "data.dvc")
    if not layout.DATASET.exists():
        run("data", "fetch")
        run("stage", "dataset")
    for model in MODELS:
        if not layout.parent(model).exists():
            run("stage", "train", model)

    printed = run("search", "--target", TARGET, "--trials", TRIALS)
    report = json.loads((layout.search(TARGET) / "report.json").read_text())
    with capsys.disabled():
        print("\n" + printed)
    assert list(report["seconds_by_rung"]) == ["0", "1", "2"]
    assert {"compress", "export", "predict", "re-test"} <= set(report["seconds_by_rung"]["0"])
    assert "re-train" in report["seconds_by_rung"]["2"]

    start = time.monotonic()
    again = run("search", "--target", TARGET, "--trials", TRIALS)
    ratio = (time.monotonic() - start) / sum(sum(parts.values()) for parts in report["seconds_by_rung"].values())
    with capsys.disabled():
        print(f"the same search again, with nothing left to do: {ratio:.2%} of the time")
    assert ratio < 0.1
    assert report["winner"] is not None
    assert report["winner"]["trial"] in again
