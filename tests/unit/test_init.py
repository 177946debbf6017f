"""`edgeproof init` makes projects of folders, and changes nothing in them that is somebody's own."""

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from pipeline.cli import cli
from pipeline.init import own_files
from pipeline.init.founding import LICENCE_BESIDE, found
from pipeline.init.own_params import for_targets, for_test_images, least_limit
from pipeline.project.params import load_params
from pipeline.system.errors import InputError, Missing, Refused
from tests.conftest import write_images

REPOSITORY = Path(__file__).resolve().parents[2]
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's folder, with photos in it."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"CACHE": "cache", "DVC_SITE_CACHE_DIR": "dvc", "DVC_GLOBAL_CONFIG_DIR": "dvc"}.items():
        monkeypatch.setenv(name if name != "CACHE" else "EDGEPROOF_CACHE", str(tmp_path / value))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    write_images(tmp_path / "photos")
    return tmp_path


@pytest.fixture
def theirs(place: Path) -> Path:
    """A repository as GitHub makes it, with a commit."""
    folder = place / "theirs"
    folder.mkdir()
    (folder / "README.md").write_text("# Ours\n")
    (folder / "LICENSE").write_text("All rights reserved.\n")
    (folder / ".gitignore").write_text("*.log\n__pycache__/")
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "ours"]):
        subprocess.run([*GIT, *arguments], cwd=folder, check=True)
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["init", *arguments], catch_exceptions=False)


def content(folder: Path) -> dict[str, bytes]:
    """All files but Git's and DVC's own."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if not name.startswith((".git/", ".dvc/tmp", ".dvc/cache"))
    }


def test_a_new_folder_holds_all_that_this_repository_does(place: Path) -> None:
    done = run("mine")
    assert (done.exit_code, done.output.splitlines()[-2:]) == (
        0,
        ["  make -C mine demo", "  cd mine && .venv/bin/edgeproof doctor"],
    )
    made = content(place / "mine")
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=REPOSITORY, text=True).split("\0")
    assert made == {name: (REPOSITORY / name).read_bytes() for name in listed if (REPOSITORY / name).is_file()}
    for name in made:
        assert os.access(place / "mine" / name, os.X_OK) == os.access(REPOSITORY / name, os.X_OK)
    branch = subprocess.check_output(["git", "branch", "--show-current"], cwd=place / "mine", text=True)
    assert branch == "main\n"


def test_own_photos_become_its_data_and_a_second_run_changes_nothing(place: Path) -> None:
    first = run("mine", "--data", "photos", "--target", "atom-x5-e3930")
    assert first.exit_code == 0, first.output
    made = content(place / "mine")
    assert {"data.dvc", "data/manifest.csv"} < made.keys()
    assert made["data.dvc"] != (REPOSITORY / "data.dvc").read_bytes()
    params = load_params(place / "mine/params.yaml")
    assert params.targets == ["atom-x5-e3930"]
    assert "cannot tell a small loss from luck, so params.yaml allows " in first.output
    assert f" {params.gates.accuracy_drop_points:g} points" in first.output
    assert params.gates.accuracy_drop_points > 3
    second = run("mine", "--data", "photos", "--target", "atom-x5-e3930")
    assert (second.exit_code, "0 files written" in second.output) == (0, True)
    assert content(place / "mine") == made
    status = subprocess.run(["git", "status", "--porcelain"], cwd=place / "mine", capture_output=True, text=True)
    assert "data/" not in status.stdout


def test_what_differs_in_a_repository_is_named_and_nothing_is_written(theirs: Path) -> None:
    before = content(theirs)
    done = run("theirs", "--data", "photos")
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "already holds LICENSE, README.md, with other content; nothing was written" in done.output
    assert content(theirs) == before


def test_kept_files_and_history_stay_and_gitignore_only_grows(theirs: Path) -> None:
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=theirs)
    before = content(theirs)
    done = run("theirs", "--keep")
    assert "kept as they were: LICENSE, README.md;" in done.output
    made = content(theirs)
    assert {name: made[name] for name in ("README.md", "LICENSE")} == {
        name: before[name] for name in ("README.md", "LICENSE")
    }
    assert made[LICENCE_BESIDE] == (REPOSITORY / "LICENSE").read_bytes()
    lines = made[".gitignore"].decode().splitlines()
    assert lines[:2] == ["*.log", "__pycache__/"]
    assert sorted(lines) == sorted({*lines, *(REPOSITORY / ".gitignore").read_text().splitlines()})
    assert subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=theirs) == commit
    assert "0 files written" in run("theirs", "--keep").output
    assert content(theirs) == made


def test_photos_in_the_repository_do_not_get_into_git(theirs: Path) -> None:
    shutil.move("photos", theirs / "photos")
    os.chdir(theirs)
    done = run("--data", "photos", "--keep")
    assert (done.exit_code, done.output.splitlines()[-2]) == (0, "  make demo")
    subprocess.run(["git", "add", "--all"], check=True)
    staged = subprocess.check_output(["git", "ls-files"], text=True).splitlines()
    assert [name for name in staged if name.startswith(("photos/", "data/"))] == []
    assert "data.dvc" in staged


def test_a_folder_within_a_repository_is_refused_unless_it_is_new(theirs: Path) -> None:
    (theirs / "src").mkdir()
    found(theirs / "src", None, (), keep=False)
    assert (theirs / "src/.git").is_dir()
    (theirs / "other").mkdir()
    (theirs / "other/notes.txt").write_text("notes\n")
    with pytest.raises(InputError, match=r"other: lies in the Git repository .*theirs"):
        found(theirs / "other", None, (), keep=True)
    assert [path.name for path in (theirs / "other").iterdir()] == ["notes.txt"]


def test_nothing_is_written_through_a_link_out_of_the_folder(place: Path) -> None:
    (place / "elsewhere").mkdir()
    (place / "mine").mkdir()
    (place / "mine/docs").symlink_to(place / "elsewhere")
    with pytest.raises(Refused, match="docs/architecture"):
        found(Path("mine"), None, (), keep=False)
    found(Path("mine"), None, (), keep=True)
    assert list((place / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--target", "atom-x5-e394"], "did you mean 'atom-x5-e3940'"),
        (["--data", "photos/red"], "no class folders"),
    ],
)
def test_what_is_not_usable_leaves_no_folder_behind(place: Path, arguments: list[str], message: str) -> None:
    done = run("mine", *arguments)
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert message in done.output
    assert not (place / "mine").exists()


@pytest.mark.parametrize("name", ["mine", "\udcff"])
def test_a_disk_without_room_or_a_name_that_is_no_text_leaves_no_folder_either(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    done = run(name)
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert ("MiB, and 1.0 are free; nothing was written" if name == "mine" else "is no UTF-8 text") in done.output
    assert not (place / name).exists()


def test_a_folder_data_of_somebodys_own_stays(place: Path) -> None:
    (place / "mine/data").mkdir(parents=True)
    (place / "mine/data/notes.txt").write_text("notes\n")
    for arguments in ([], ["--data", "photos"]):
        done = run("mine", *arguments)
        assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert content(place / "mine") == {"data/notes.txt": b"notes\n"}


def test_without_git_the_files_are_those_that_it_would_not_ignore(place: Path) -> None:
    archive = place / "archive"
    archive.mkdir()
    packed = subprocess.check_output(["git", "archive", "HEAD"], cwd=REPOSITORY)
    subprocess.run(["tar", "-x"], cwd=archive, input=packed, check=True)
    inside = {file.name for file in own_files.of_tree(archive)}
    for name in (
        "data/a.png",
        ".venv/b",
        "build/c",
        "pipeline/__pycache__/d.pyc",
        ".dvc/tmp/e",
        "edgeproof.egg-info/f",
    ):
        (archive / name).parent.mkdir(parents=True, exist_ok=True)
        (archive / name).write_text("made")
    assert {file.name for file in own_files.of_tree(archive)} == inside
    tree = subprocess.check_output(["git", "ls-tree", "-r", "--name-only", "HEAD"], cwd=REPOSITORY, text=True)
    assert inside == set(tree.split())


def test_what_was_packed_comes_out_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = place / "tree"
    for name in ("dvc.yaml", "runners/run"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    (tree / "runners/run").chmod(0o755)
    for name in ("one", "two"):
        own_files.pack(tree, place / name)
    assert (place / "one").read_bytes() == (place / "two").read_bytes()
    monkeypatch.setattr(own_files, "ARCHIVE", place / "one")
    assert own_files.read() == own_files.of_tree(tree)
    assert [file.executable for file in own_files.read()] == [False, True]


def test_code_without_its_repository_says_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_files, "ROOT", place)
    with pytest.raises(Missing, match="installed without its repository"):
        found(Path("mine"), None, (), keep=False)


def test_a_manifest_that_was_not_imported_says_nothing_of_a_limit(place: Path) -> None:
    (place / "mine/data").mkdir(parents=True)
    (place / "mine/data.dvc").write_text("outs: []\n")
    (place / "mine/data/manifest.csv").write_text("picture,kind\na.png,cat\n")
    done = run("mine", "--keep")
    assert done.exit_code == 0, done.output
    assert (place / "mine/params.yaml").read_bytes() == (REPOSITORY / "params.yaml").read_bytes()


def test_a_limit_is_no_less_than_what_the_test_images_can_tell() -> None:
    text = (REPOSITORY / "params.yaml").read_text()
    assert for_test_images(text, 568) == for_test_images(text, 5000) == text
    few = for_test_images(text, 96)
    assert yaml.safe_load(few)["gates"] == {**yaml.safe_load(text)["gates"], "accuracy_drop_points": 6.0}
    assert few.replace("6.0", "3.0") == text
    assert least_limit(568) == 3.0
    # What loses 1 point of few answers that change shows more than the limit by luck alone in one test set of seventy.
    lost, won = 0.0285, 0.0185
    for count in (96, 200, 568):
        changes = np.random.default_rng(count).multinomial(count, (lost, won, 1 - lost - won), 200_000)
        drops = 100 * (changes[:, 0] - changes[:, 1]) / count
        assert 0.005 < np.mean(drops > least_limit(count)) < 0.025


def test_params_keep_their_comments_and_fit_the_targets() -> None:
    text = (REPOSITORY / "params.yaml").read_text()
    assert for_targets(text, ["atom-x5-e3940", "jetson-tx2-maxq"]) == text
    slower = for_targets(text, ["atom-x5-e3930"])
    assert "atom-x5-e3940" not in slower
    assert slower.count("#") == text.count("#")
    assert "fp16" not in yaml.safe_load(slower)["methods"]
    jetson = yaml.safe_load(for_targets(text, ["jetson-tx2-maxp"]))
    assert (jetson["targets"], jetson["methods"]) == (["jetson-tx2-maxp"], ["fp32", "fp16"])
    block = text.replace("targets: [atom-x5-e3940, jetson-tx2-maxq]", "targets:\n- atom-x5-e3940\n- jetson-tx2-maxq")
    assert for_targets(block, ["atom-x5-e3930"]) == slower
