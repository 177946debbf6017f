"""What is planned for which change, in a Git repository with this project's own stages."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from pipeline.ci.plan import ON_BOARDS, Plan, _changed, plan
from pipeline.system.errors import InputError

# DVC's own, on every graph
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS, METHODS, TARGETS = ["lenet-5", "lenet-300-100"], ["fp32", "fp16", "int8"], ["atom-x5-e3940", "jetson-tx2-maxq"]
FITTING = [("fp32", TARGETS[0]), ("fp32", TARGETS[1]), ("fp16", TARGETS[1]), ("int8", TARGETS[0])]
EVERYTHING = Plan(
    train=[{"model": model} for model in MODELS],
    candidate=[{"model": model, "method": method} for model in MODELS for method in METHODS],
    retest=[{"model": model, "method": method, "target": target} for model in MODELS for method, target in FITTING],
    report=True,
)
NOTHING = Plan([], [], [], report=False)

Edit = Callable[[], object]


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@example.com"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, stages and parameters of this repository with two small models, committed on `main`."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("pipeline", "models", "runners"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", "data.dvc", "requirements.lock"):
        shutil.copy(REPOSITORY / name, folder / name)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").touch()
    (folder / ".gitignore").write_text("/.dvc/tmp\n/.dvc/cache\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        set_params(models=MODELS, methods=METHODS, targets=TARGETS)
        git("init", "--quiet", "--initial-branch", "main")
        git("add", "--all")
        git("commit", "--quiet", "--message", "base")
        git("tag", "start")
    return folder


@pytest.fixture
def planned(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Edit], Plan]]:
    """What is planned for an edit, when it is committed on top of main."""
    monkeypatch.chdir(repository)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path))
    git("checkout", "--quiet", "-B", "main", "start")
    git("checkout", "--quiet", "-B", "change", "main")

    def commit_and_plan(edit: Edit) -> Plan:
        edit()
        git("add", "--all")
        git("commit", "--quiet", "--allow-empty", "--message", "change")
        return plan("main")

    yield commit_and_plan
    git("reset", "--quiet", "--hard")
    git("clean", "--quiet", "--force", "-d")


def set_params(**values: object) -> None:
    path = Path("params.yaml")
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **values}, sort_keys=False))


def append(path: str, text: str = "\n# changed\n") -> Edit:
    return lambda: Path(path).write_text((Path(path).read_text() if Path(path).exists() else "") + text)


def replace(path: str, old: str, new: str) -> Edit:
    def edit() -> None:
        text = Path(path).read_text()
        assert old in text
        Path(path).write_text(text.replace(old, new))

    return edit


def set_value(group: str, name: str, value: object) -> Edit:
    return lambda: set_params(**{group: {**yaml.safe_load(Path("params.yaml").read_text())[group], name: value}})


def retests(**wanted: str) -> list[dict[str, str]]:
    return [entry for entry in EVERYTHING.retest if wanted.items() <= entry.items()]


UNREAD = (
    "README.md",
    "docs/remark.md",
    "tests/test_new.py",
    "pyproject.toml",
    ".github/workflows/pr.yml",
    "pipeline/check/advice.py",
    "pipeline/cli/file_verbs.py",
    "pipeline/data/own/images.py",
    "pipeline/search/space.py",
    "runners/edge/meters/rapl.py",
    "runners/edge/loop/proposer.py",  # the labels hold the boxes
)


def test_what_no_stage_reads_plans_nothing(planned: Callable[[Edit], Plan]) -> None:
    def edit() -> None:
        for path in UNREAD:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text("changed")

    assert planned(edit) == NOTHING


@pytest.mark.parametrize(
    "edit",
    [
        append("pipeline/data/dataset.py"),
        append("runners/edge/loop/regions.py"),
        append("models/new.py"),
        lambda: Path("data.dvc").write_text("outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  path: data\n"),
        set_value("train", "epochs", 99),
        append("requirements.lock", "another==1\n"),
    ],
    ids=["dataset code", "region code", "architectures", "data", "training parameters", "packages"],
)
def test_what_training_reads_plans_everything(planned: Callable[[Edit], Plan], edit: Edit) -> None:
    assert planned(edit) == EVERYTHING


def test_recipe_plans_its_own_method(planned: Callable[[Edit], Plan]) -> None:
    found = planned(set_value("recipes", "int8", [{"quantize": {"calibration_samples": 3}}]))
    assert found.train == []
    assert found.candidate == [{"model": model, "method": "int8"} for model in MODELS]
    assert found.retest == retests(method="int8")
    assert found.report


def test_recipe_that_no_method_uses_plans_nothing(planned: Callable[[Edit], Plan]) -> None:
    assert planned(set_value("recipes", "spare", ["fp16"])) == NOTHING


NO_TRAINING = Plan([], EVERYTHING.candidate, EVERYTHING.retest, report=True)
RETESTS = Plan([], [], EVERYTHING.retest, report=True)
REPORT = Plan([], [], [], report=True)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("pipeline/compress/steps/new.py", NO_TRAINING),
        ("pipeline/records/targets.py", NO_TRAINING),
        ("pipeline/predict/published/measurements.csv", NO_TRAINING),
        ("pipeline/formats/onnx_file.py", NO_TRAINING),
        ("pipeline/arithmetic/saturation/kernel.py", NO_TRAINING),
        ("pipeline/emulators/denverton.py", RETESTS),
        ("pipeline/retest/audit.py", RETESTS),
        ("pipeline/records/results.py", RETESTS),
        ("pipeline/records/gates.py", REPORT),
        ("pipeline/report/plots.py", REPORT),
    ],
)
def test_code_plans_what_runs_it_and_no_more(planned: Callable[[Edit], Plan], path: str, expected: Plan) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    assert planned(append(path)) == expected


def test_an_objective_plans_the_candidates_that_were_made_for_it(planned: Callable[[Edit], Plan]) -> None:
    git("checkout", "--quiet", "main")
    set_value("recipes", "int8", [{"quantize": {"calibration_samples": 3, "target": TARGETS[0]}}])()
    git("commit", "--quiet", "--all", "--message", "a recipe for the Atom")
    git("checkout", "--quiet", "-B", "change")
    found = planned(replace(f"runners/targets/{TARGETS[0]}.yaml", "frames_per_s: 30", "frames_per_s: 60"))
    assert found.train == []
    assert found.candidate == [{"model": model, "method": "int8"} for model in MODELS]
    assert found.retest == retests(target=TARGETS[0])
    assert found.report


def test_a_remark_on_a_target_makes_no_candidate_again(planned: Callable[[Edit], Plan]) -> None:
    git("checkout", "--quiet", "main")
    set_value("recipes", "int8", [{"quantize": {"calibration_samples": 3, "target": TARGETS[0]}}])()
    git("commit", "--quiet", "--all", "--message", "a recipe for the Atom")
    git("checkout", "--quiet", "-B", "change")
    found = planned(replace(f"runners/targets/{TARGETS[0]}.yaml", "description: Intel", "description: An Intel"))
    assert found.candidate == []
    assert found.retest == retests(target=TARGETS[0])


def test_target_plans_its_own_retests(planned: Callable[[Edit], Plan]) -> None:
    assert planned(append(f"runners/targets/{TARGETS[0]}.yaml")) == Plan(
        [], [], retests(target=TARGETS[0]), report=True
    )


def test_limits_plan_the_report_only(planned: Callable[[Edit], Plan]) -> None:
    assert planned(set_value("gates", "accuracy_drop_points", 1.0)) == Plan([], [], [], report=True)


def test_new_model_plans_itself(planned: Callable[[Edit], Plan]) -> None:
    found = planned(lambda: set_params(models=[*MODELS, "alexnet"]))
    assert found.train == [{"model": "alexnet"}]
    assert [entry["model"] for entry in found.candidate] == ["alexnet"] * len(METHODS)
    assert [(entry["method"], entry["target"]) for entry in found.retest] == FITTING


def test_new_target_plans_its_fitting_retests(planned: Callable[[Edit], Plan]) -> None:
    found = planned(lambda: set_params(targets=[*TARGETS, "atom-x5-e3930"]))
    expected = [
        {"model": m, "method": method, "target": "atom-x5-e3930"} for m in MODELS for method in ("fp32", "int8")
    ]
    assert found == Plan([], [], expected, report=True)


def test_without_base_plans_everything(planned: Callable[[Edit], Plan]) -> None:
    assert plan(None) == plan("") == EVERYTHING


def test_base_without_stages_plans_everything(planned: Callable[[Edit], Plan]) -> None:
    git("checkout", "--quiet", "--orphan", "before")
    git("rm", "--quiet", "-r", "--cached", ".")
    git("commit", "--quiet", "--allow-empty", "--message", "nothing yet")
    git("branch", "--force", "empty")
    git("checkout", "--quiet", "--force", "-B", "change", "main")
    assert plan("empty") == EVERYTHING


@pytest.mark.parametrize(
    ("file", "content"),
    [("dvc.yaml", "stages: [broken"), ("params.yaml", "models: [lenet-5"), ("params.yaml", "[1]"), ("params.yaml", "")],
)
def test_base_with_a_broken_file_plans_everything(planned: Callable[[Edit], Plan], file: str, content: str) -> None:
    mended = Path(file).read_text()
    Path(file).write_text(content)
    git("commit", "--quiet", "--all", "--message", "broken")
    Path(file).write_text(mended)
    git("commit", "--quiet", "--all", "--message", "mended")
    assert plan("HEAD~1") == EVERYTHING


@pytest.mark.parametrize("named", ["own.toml: [a.b]", "own.toml: "])
def test_parameters_in_a_file_of_one_s_own_plan_what_reads_them(planned: Callable[[Edit], Plan], named: str) -> None:
    git("checkout", "--quiet", "main")
    stages = Path("dvc.yaml").read_text()
    assert "params: [split]" in stages
    Path("dvc.yaml").write_text(stages.replace("params: [split]", f"params: [split, {{{named}}}]"))
    Path("own.toml").write_text("[a]\nb = 1\nc = 1\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "parameters of our own")
    git("checkout", "--quiet", "-B", "change")
    assert planned(lambda: Path("own.toml").write_text("[a]\nb = 2\nc = 1\n")) == EVERYTHING
    git("branch", "--force", "main")
    expected = EVERYTHING if named == "own.toml: " else NOTHING
    assert planned(lambda: Path("own.toml").write_text("[a]\nb = 2\nc = 2\n")) == expected


@pytest.mark.parametrize("base", ["0" * 40, "no-such-branch", "--help"])
def test_unknown_base_is_an_input_error(planned: Callable[[Edit], Plan], base: str) -> None:
    with pytest.raises(InputError, match=r"no commit .* fetch it"):
        plan(base)


def test_no_git_repository_is_an_input_error(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(repository / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="stages cannot be read"):
        plan("main")


def test_json_is_one_line() -> None:
    text = EVERYTHING.as_json()
    assert "\n" not in text
    assert json.loads(text) == vars(EVERYTHING)


def test_boards_are_asked_for_what_they_alone_run(
    planned: Callable[[Edit], Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.ci.preflight.declared", lambda: ["a board"])
    found = planned(append("runners/edge/loop/proposer.py"))  # no stage reads it
    assert found == Plan([], [], [], report=True, device=True)


def test_a_change_is_seen_by_where_it_is(planned: Callable[[Edit], Plan]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.unit.test_plan.plan", lambda base: NOTHING)  # which would take its time
        planned(append("remark.md"))
        assert not _changed("main", ON_BOARDS)
        planned(append("runners/boards/atom-1.yaml"))
        assert _changed("main", ON_BOARDS)
