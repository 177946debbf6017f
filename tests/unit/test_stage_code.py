"""dvc.yaml names the code that each stage runs: held against what the stages really import, lazily or by name."""

import ast
from functools import cache
from pathlib import Path

import grimp
import pytest
import yaml

from pipeline.project import code

REPOSITORY = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
ROOTS = {
    "dataset": "pipeline.data.cutting",
    "resolve": "pipeline.stages.resolve",
    "train": "pipeline.stages.train",
    "compress": "pipeline.stages.compress",
    "export": "pipeline.stages.export",
    "retest": "pipeline.stages.retest",
    "report": "pipeline.report",
}
# Not the command line: it parses, calls and prints. Nor these, of which no number and no picture comes.
HARMLESS = {
    "pipeline": "turns telemetry off",
    "pipeline.project.layout": "says where things lie",
    "pipeline.project.candidate": "says where a candidate's files lie",
    "pipeline.project.code": "reads dvc.yaml itself",
    "pipeline.system.cache": "says where downloads are kept",
    "pipeline.system.debian": "fetches packages whose signatures are checked",
    "pipeline.system.errors": "words for what went wrong",
    "pipeline.system.files": "writes what it is given, whole or not at all",
    "pipeline.system.npy": "reads an array as it is",
    "pipeline.system.programs": "starts programs",
    "pipeline.system.stopwatch": "tells how long things took",
    "pipeline.system.unheard": "keeps libraries quiet",
    "pipeline.system.versions": "tells what is installed, which requirements.lock decides",
    "pipeline.system.wheels": "fetches packages whose hashes are pinned",
}
TYPES = {  # records that a stage only names the types of
    "resolve": {"pipeline.records.targets"},  # the folder that profiles are in
    "compress": {"pipeline.records.board", "pipeline.records.predictions", "pipeline.records.results"},
    "export": {"pipeline.records.targets"},
}


@cache
def graph() -> grimp.ImportGraph:
    """Who imports whom, with what is imported by a name that the program puts together."""
    found = grimp.build_graph("pipeline", "models", "runners", exclude_type_checking_imports=True, cache_dir=None)
    for module in sorted(found.modules):
        for imported in by_name(module, found.modules):
            found.add_import(importer=module, imported=imported)
    return found


def by_name(module: str, modules: set[str]) -> set[str]:
    """Modules that a module names in a text, and all in the package that it takes some from by their names."""
    path = REPOSITORY / Path(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(source.read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    named = {text for text in texts if text in modules}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "iter_modules":
            package = ast.unparse(call.args[0]).removesuffix("__path__").rstrip(".") or module
            named |= {other for other in modules if other.startswith(f"{package}.")}
        elif isinstance(call, ast.Call) and ast.unparse(call.func).endswith("import_module"):
            start = call.args[0].values[0] if isinstance(call.args[0], ast.JoinedStr) else None
            package = start.value if isinstance(start, ast.Constant) else module if start else ""
            named |= {other for other in modules if package and other.startswith(f"{package.rstrip('.')}.")}
    return named - {module}


@cache
def closure(stage: str) -> frozenset[str]:
    """All modules that a stage may run."""
    waiting, seen = {ROOTS[stage], *graph().find_descendants(ROOTS[stage])}, set()
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting |= graph().find_modules_directly_imported_by(module)
    return frozenset(seen)


def without_a_dependency(stage: str, dependencies: list[str]) -> set[str]:
    """Modules of the closure that none of the paths covers and that could change the outcome."""
    harmless = HARMLESS.keys() | TYPES.get(stage, set())
    return {module for module in closure(stage) - harmless if not covered(module, dependencies)}


def covered(module: str, dependencies: list[str]) -> bool:
    # A package's own file is code only where there is something in it.
    path = module.replace(".", "/")
    init = REPOSITORY / path / "__init__.py"
    if init.exists() and not init.read_text().strip():
        return True
    return any(path == name.removesuffix(".py") or path.startswith(f"{name}/") for name in dependencies)


def code_of(stage: str) -> list[str]:
    return [name for name in STAGES[stage]["deps"] if name.split("/")[0] in code.CODE and not name.endswith(".yaml")]


def test_every_stage_is_looked_at() -> None:
    assert STAGES.keys() == ROOTS.keys()


@pytest.mark.parametrize("stage", ROOTS)
def test_a_stage_depends_on_all_code_that_it_runs(stage: str) -> None:
    assert without_a_dependency(stage, code_of(stage)) == set()


@pytest.mark.parametrize(("stage", "name"), [(stage, name) for stage in ROOTS for name in code_of(stage)])
def test_a_dependency_that_is_taken_out_is_missed(stage: str, name: str) -> None:
    if name == "runners/targets":  # profiles, not code: tests/unit/test_plan.py follows those
        return
    assert without_a_dependency(stage, [other for other in code_of(stage) if other != name])


def test_what_is_imported_by_name_is_followed() -> None:
    assert {"pipeline.arithmetic.kinds.capped_isa", "pipeline.processes.backends.openvino_cpu"} <= closure("retest")
    assert {"pipeline.arithmetic.saturation.backend", "pipeline.processes.worker"} <= closure("retest")
    assert {"pipeline.compress.steps.prune", "models.efficientnet_lite"} <= closure("compress")


@pytest.mark.parametrize(
    ("stage", "room"),
    [
        ("train", "pipeline.compress"), ("train", "pipeline.report"), ("train", "pipeline.records"),
        ("compress", "pipeline.retest"), ("compress", "pipeline.report"), ("compress", "pipeline.check"),
        ("compress", "pipeline.emulators"), ("export", "pipeline.arithmetic"), ("retest", "pipeline.compress"),
        ("retest", "pipeline.report"), ("retest", "pipeline.data.own"), ("report", "pipeline.compress"),
    ],
)  # fmt: skip
def test_a_stage_does_not_run_what_is_not_its_business(stage: str, room: str) -> None:
    assert [module for module in closure(stage) if f"{module}.".startswith(f"{room}.")] == []


def test_identities_follow_the_same_lists() -> None:
    assert list(code.of_stages("train")) == sorted(code_of("train"))
    assert set(code.of_stages("compress", "export", "retest")) == {
        *code_of("compress"),
        *code_of("export"),
        *code_of("retest"),
    }


def test_an_identity_is_another_when_any_file_is(tmp_path: Path) -> None:
    (tmp_path / "folder" / "__pycache__").mkdir(parents=True)
    for name in ("folder/one.py", "folder/two.csv", "three.py"):
        (tmp_path / name).write_text("1")
    before = code.content(tmp_path, ["folder", "three.py"])
    (tmp_path / "folder" / "__pycache__" / "one.pyc").write_text("compiled")
    assert code.content(tmp_path, ["folder", "three.py"]) == before
    seen = {before}
    for name in ("folder/one.py", "folder/two.csv", "three.py"):
        (tmp_path / name).write_text("2")
        seen.add(code.content(tmp_path, ["folder", "three.py"]))
    (tmp_path / "three.py").rename(tmp_path / "folder" / "three.py")
    seen.add(code.content(tmp_path, ["folder"]))
    assert len(seen) == 5


def test_what_hosted_machines_keep_is_there_to_be_hashed() -> None:
    assert [name for name in code.DOWNLOADS if not (REPOSITORY / name).exists()] == []
