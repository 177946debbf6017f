"""What works with the base packages alone, as on a gateway: everything else says in one line what to install."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import onnx
import pytest

from tests.graphs import model, node, ones

REPOSITORY = Path(__file__).resolve().parents[2]
ONLY_BASE = """
import importlib.abc, sys
allowed = set(sys.argv.pop(1).split(","))
class OnlyBase(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top in allowed or top.startswith("_"):
            return None
        raise ModuleNotFoundError(f"No module named {top!r}", name=top)
sys.meta_path.insert(0, OnlyBase())
from pipeline.cli import main
main()
"""


def modules_of(packages: list[str]) -> set[str]:
    """Top-level modules of these packages and of all that they require."""
    waiting, seen = [name_of(package) for package in packages], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for requirement in metadata.requires(name) or []:
            if "extra ==" not in requirement:
                try:
                    metadata.version(name_of(requirement))
                except metadata.PackageNotFoundError:  # for another platform
                    continue
                waiting.append(name_of(requirement))
    # metadata.packages_distributions of Python 3.10 overlooks most wheels.
    return {path.parts[0].split(".")[0] for name in seen for path in metadata.files(name) or []}


def name_of(requirement: str) -> str:
    """The package of a requirement, as the index writes it."""
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


@pytest.fixture(scope="module")
def base() -> str:
    declared = metadata.requires("edgeproof") or []
    modules = modules_of([one for one in declared if "extra ==" not in one]) | {"pipeline", "models", "runners"}
    assert not modules & {"torch", "cv2", "openvino", "onnxruntime", "dvc", "nncf", "sklearn"}
    return ",".join(sorted(modules))


def edgeproof(base: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ONLY_BASE, base, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--help",), "A model that passes here"), (("targets",), "atom-x5-e3940"),
        (("targets", "show", "tegra-parker-a57"), "QEMU"), (("models",), "efficientnet-lite0"),
        (("methods",), "quantize"),
    ],
)  # fmt: skip
def test_the_base_packages_are_enough_to_look_around(base: str, arguments: tuple[str, ...], words: str) -> None:
    done = edgeproof(base, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert words in done.stdout


def test_the_base_packages_are_enough_to_predict(base: str, tmp_path: Path) -> None:
    weights = {"w": ones(8, 3, 3, 3)}
    graph = model([node("Conv", "x w", "y", kernel_shape=[3, 3])], weights, ("N", 3, 32, 32))
    onnx.save(onnx.shape_inference.infer_shapes(graph), tmp_path / "m.onnx")
    done = edgeproof(base, "predict", str(tmp_path / "m.onnx"), "--target", "atom-x5-e3940")
    assert (done.returncode, done.stderr) == (0, "")
    assert "regions/s (predicted" in done.stdout


@pytest.mark.parametrize("arguments", [("stage", "train", "lenet-5"), ("emulators",), ("data", "import", "photos")])
def test_what_needs_more_says_what_to_install(base: str, arguments: tuple[str, ...]) -> None:
    done = edgeproof(base, *arguments)
    assert done.returncode == 2
    assert re.fullmatch(r"edgeproof: this needs the package \w+: `pip install 'edgeproof\[cloud\]'`\n", done.stderr)


@pytest.mark.nightly
def test_what_a_machine_beside_a_board_has_is_enough_for_a_board_s_job() -> None:
    declared = metadata.requires("edgeproof") or []
    ours = [one for one in declared if "extra ==" not in one or re.search(r"extra == .boards.", one)]
    # Installed is an earlier pyproject.toml, perhaps.
    text = (REPOSITORY / "pyproject.toml").read_text()
    [listed] = re.findall(r"^boards = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    modules = modules_of([*ours, *re.findall(r'"(.+?)"', listed)]) | {"pipeline", "models", "runners"}
    assert not modules & {"torch", "dvc", "nncf", "sklearn"}
    job = "import pipeline.ci.board_job, pipeline.device.plugin, pipeline.device.session, pipeline.device.verdicts"
    code = ONLY_BASE.replace("from pipeline.cli import main\nmain()", f"{job}\nimport tests.device.test_device")
    command = [sys.executable, "-c", code, ",".join(sorted(modules | {"tests"}))]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.nightly
def test_a_wheel_with_the_base_packages_installs_and_runs(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    clone = tmp_path / "clone"  # setuptools leaves a folder where it builds, and takes what is in it the next time
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
    pip = [tmp_path / "venv/bin/pip", "install", "--quiet", "--constraint", REPOSITORY / "requirements.lock"]
    subprocess.run([*pip, clone], check=True, cwd=tmp_path)
    command = [tmp_path / "venv/bin/edgeproof", "targets", "show", "atom-x5-e3940"]
    assert "Goldmont" in subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
