"""A tag becomes bundles: of what passes only, the same bytes each time, and they answer as the emulated lane does."""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from pipeline.cli import cli
from pipeline.data.dataset import open_dataset
from pipeline.project import layout
from pipeline.release import promised, signing, verifying
from pipeline.release.tuf_registry import Registry
from runners.contract import bundle, model_input
from runners.edge.backends import open_backend
from runners.edge.loop.regions import normalise
from runners.edge.update.unpack import unpack

ATOM, TX2 = "atom-x5-e3940", "jetson-tx2-maxq"
BUILT = Path("artifacts/releases")


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' project is no repository, so nobody committed it at any time."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1764158400")


def release(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["release", *arguments], catch_exceptions=False)


def edit(change: Callable[[dict], object], path: Path = Path("params.yaml")) -> None:
    """Change a YAML file by a function of its content."""
    content = yaml.safe_load(path.read_text()) if path.exists() else {}
    change(content)
    path.write_text(yaml.safe_dump(content))


def unpacked(target: str, folder: Path, version: str = "v1.2.3") -> Path:
    """The bundle of a target, as a device has it."""
    [file] = (BUILT / version).glob(f"*.{target}-{version}.tar")
    assert file.name.split(".")[0] == hashlib.sha256(file.read_bytes()).hexdigest()
    with tarfile.open(file, "r:") as tar:
        assert [member.name for member in tar] == sorted(verifying.PARTS)
        tar.extractall(folder, filter="data")
    unpack(str(folder / bundle.PACKED), str(folder / bundle.MODEL))
    return folder


def test_the_same_input_gives_the_same_bytes(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    int8 = ("build", "v1.2.3", "--target", ATOM, "--candidate", "lenet-5/int8")
    assert release(*int8).exit_code == 0
    manifest = bundle.read(str(unpacked(ATOM, tmp_path / "device") / bundle.MANIFEST))
    assert manifest.tolerance == 0  # integers: equal in every bit
    first = {path.name: path.read_bytes() for path in (BUILT / "v1.2.3").rglob("*") if path.is_file()}
    elsewhere = tmp_path / "some other place" / "with another name"
    shutil.copytree(trained, elsewhere)
    shutil.rmtree(elsewhere / BUILT)
    for path in elsewhere.rglob("*"):
        os.utime(path, (1, 1))
    monkeypatch.chdir(elsewhere)
    before = os.umask(0o077)
    try:
        assert release(*int8).exit_code == 0
    finally:
        os.umask(before)
    again = {path.name: path.read_bytes() for path in (BUILT / "v1.2.3").rglob("*") if path.is_file()}
    assert again == first


def test_a_bundle_answers_its_samples_as_the_emulated_lane_does(trained: Path, tmp_path: Path) -> None:
    assert release("build", "v1.2.3", "--target", ATOM, "--candidate", "lenet-5/fp32").exit_code == 0
    folder = unpacked(ATOM, tmp_path / "device")
    manifest = bundle.read(str(folder / bundle.MANIFEST))
    regions, scores = (np.load(folder / name, allow_pickle=False) for name in (bundle.REGIONS, bundle.SCORES))
    assert (regions.dtype, scores.dtype, len(regions), scores.shape[1]) == (np.uint8, np.float32, len(scores), 3)
    images, _ = open_dataset(layout.DATASET).load("test", regions.shape[1])
    assert all((images == region).all((1, 2, 3)).any() for region in regions), "regions of the test split as they are"
    wanted = model_input.read(str(folder / bundle.MODEL / model_input.NAME))
    backend = open_backend(str(folder / bundle.MODEL), "", 1, len(regions))
    answers = backend.infer(normalise(regions, wanted.mean, wanted.std))
    backend.close()
    assert 0 < manifest.tolerance <= 1e-5  # floating point: the order of sums is the runtime's
    assert np.abs(answers - scores).max() <= manifest.tolerance * np.abs(scores).max()
    assert manifest.files == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in verifying.PARTS
        if name != bundle.MANIFEST
    }
    evidence = json.loads((folder / bundle.EVIDENCE).read_text())
    assert (evidence["target"], evidence["verdict"], evidence["lanes"]) == (ATOM, "pass", {"emulated": "pass"})
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str((folder / bundle.SBOM).read_text()) is None
    bill = json.loads((folder / bundle.SBOM).read_text())
    assert {"model.tar.xz", "data set"} <= {part["name"] for part in bill["components"]}
    tools = {tool["name"]: tool.get("licenses") for tool in bill["metadata"]["tools"]["components"]}
    assert tools["openvino"]
    assert tools["onnx"]


@pytest.mark.parametrize(("size", "count"), [(32, 16), (224, 16), (300, 9), (1024, 4)])
def test_large_regions_are_fewer(size: int, count: int) -> None:
    from pipeline.release.expected import MOST_BYTES, _rows

    rows = _rows(1000, size)
    assert (len(rows), rows[0], rows[-1]) == (count, 0, 999)
    assert len(rows) * 3 * size * size <= MOST_BYTES or count == 4


@pytest.mark.nightly
def test_a_bound_gives_the_middle_and_a_tolerance(trained: Path, tmp_path: Path) -> None:
    assert release("build", "v1.2.3", "--target", TX2, "--candidate", "lenet-5/fp16").exit_code == 0
    folder = unpacked(TX2, tmp_path / "device")
    manifest = bundle.read(str(folder / bundle.MANIFEST))
    assert (manifest.runtime, manifest.method) == ("tensorrt", "fp16")
    assert manifest.tolerance >= 2e-2


def test_the_most_accurate_that_passes_is_taken(trained: Path) -> None:
    records = {
        path.parent.name: json.loads(path.read_text()) for path in Path("artifacts/results").rglob(f"{ATOM}.json")
    }
    right = {
        method: record["accuracy"]["target"]["correct"]
        for method, record in records.items()
        if record["accuracy"]["target"]
    }
    assert release("build", "v1.2.3", "--target", ATOM).exit_code == 0
    listed = json.loads((BUILT / "v1.2.3/release.json").read_text())["bundles"]
    [evidence] = (BUILT / "v1.2.3/evidence").iterdir()
    assert len(listed) == 1
    assert right[json.loads(evidence.read_text())["method"]] == max(right.values())


def fail(method: str, target: str = ATOM) -> None:
    """Let a candidate break its accuracy limit."""
    path = Path(f"artifacts/results/emulated/lenet-5/{method}/{target}.json")
    record = json.loads(path.read_text())
    if record["accuracy"]["target"]:
        record["accuracy"]["target"]["correct"] = 0
    path.write_text(json.dumps(record))


def test_what_fails_is_not_released(trained: Path) -> None:
    for method in ("fp32", "fp16", "int8", "pruned-int8"):
        fail(method)
    done = release("build", "v1.2.3")
    assert done.exit_code == 2
    assert (
        "atom-x5-e3940: no candidate may be released: lenet-5/fp32: fails in the emulated lane (accuracy" in done.output
    )
    assert "release for other targets only (--target" in done.output
    assert not BUILT.exists()
    assert release("build", "v1.2.3", "--allow-not-measured", "it must go out").exit_code == 2


def test_a_required_lane_that_nobody_measured_needs_a_reason(trained: Path) -> None:
    edit(lambda settings: settings.update(lanes=["emulated", "device"]), Path("release.yaml"))
    done = release("build", "v1.2.3", "--target", ATOM)
    assert done.exit_code == 2
    assert "the device lane is required and not measured" in done.output
    assert release("build", "v1.2.3", "--target", ATOM, "--allow-not-measured", " ").exit_code == 2
    assert release("build", "v1.2.3", "--target", ATOM, "--allow-not-measured", "no board <b>today</b>").exit_code == 0
    notes = (BUILT / "v1.2.3/notes.md").read_text()
    assert "**Not measured, and released all the same**: atom-x5-e3940, lane device: no board &#60;b&#62;today" in notes
    [evidence] = [json.loads(path.read_text()) for path in (BUILT / "v1.2.3/evidence").iterdir()]
    assert evidence["lanes"] == {"emulated": "pass", "device": "not_measured"}
    assert evidence["allowed_not_measured"] == "no board <b>today</b>"
    predicate = json.loads((BUILT / f"v1.2.3/predicates/{ATOM}.json").read_text())
    assert (predicate["result"], predicate["warnedTests"]) == ("WARNED", ["device"])


def test_a_board_s_record_that_fails_is_not_overruled(trained: Path) -> None:
    emulated = json.loads(Path(f"artifacts/results/emulated/lenet-5/int8/{ATOM}.json").read_text())
    emulated.update(lane="device", grade="fails", predicted=None)
    path = Path(f"artifacts/results/device/lenet-5/int8/{ATOM}.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(emulated))
    done = release("build", "v1.2.3", "--target", ATOM, "--candidate", "lenet-5/int8")
    assert done.exit_code == 2
    assert "fails in the device lane (proof" in done.output


@pytest.mark.parametrize("damage", ["download", "data"])
def test_records_of_other_files_are_refused(trained: Path, damage: str) -> None:
    if damage == "download":
        for path in Path("artifacts/export").rglob("*.tar.xz"):
            path.write_bytes(path.read_bytes() + b"\0")
    else:
        with Path("artifacts/dataset/samples.csv").open("a") as stream:
            stream.write("\n")
    done = release("build", "v1.2.3")
    assert done.exit_code == 2
    assert "'s record is about; run `dvc repro`" in done.output


def test_from_tag_to_rollback_on_the_command_line(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    assert release("init", "--root-key", f"{keys}/root.pem", "--online-key", f"{keys}/online.pem").exit_code == 0
    monkeypatch.setenv(signing.ONLINE_KEY, (keys / "online.pem").read_text())
    for version in ("v1.0.0", "v1.1.0"):
        assert release("build", version, "--target", ATOM).exit_code == 0
        assert release("publish", version).exit_code == 0
    notes = (BUILT / "v1.1.0/notes.md").read_text()
    assert f"## {ATOM} since v1.0.0" in notes
    assert "The data are the same." in notes
    assert notes.count("| red |") == 1
    assert release("verify").exit_code == 0
    offered = Registry(Path("releases"))
    assert promised.frames_per_s(offered, offered.offers()[f"stable/{ATOM}.next"]) == 30
    assert release("promote", "--channel", "stable").output == f"stable/{ATOM}: v1.1.0 for 10 % of the devices\n"
    assert release("drill", "--target", ATOM).exit_code == 0
    check_drill(Registry(Path("releases")))
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    done = release("rollout", "--inbox", str(inbox), "--dry-run")
    assert (done.exit_code, done.output.count("wait"), done.output.count("hold")) == (3, 1, 1)
    assert release("rollback", "--channel", "stable").exit_code == 0
    offers = {path: offer.version for path, offer in Registry(Path("releases")).offers().items()}
    assert offers.pop(f"stable/{ATOM}") == "v1.0.0"
    assert {path.split("/")[0] for path in offers} == {"drill"}
    assert release("resign").output == "signed anew: timestamp\n"
    assert release("verify").exit_code == 0


def check_drill(registry: Registry) -> None:
    """A drill's bundle is good but for its answers."""
    scores = {}
    for path, target in registry.targets().signed.targets.items():
        offer = registry.offers()[path]
        with tarfile.open(registry.file(offer, target.hashes["sha256"]), "r:") as tar:
            scores[path] = np.load(io.BytesIO(tar.extractfile(bundle.SCORES).read()))
    good, bad = scores[f"drill/{ATOM}"], scores[f"drill/{ATOM}.next"]
    assert np.array_equal(good, scores[f"stable/{ATOM}"])
    assert (good.argmax(1) != bad.argmax(1)).all()


@pytest.mark.parametrize(
    ("tag", "version", "name", "channel"),
    [
        ("v1.2.3", "v1.2.3", "v1.2.3", "stable"),
        ("v1.3.0-rc.1", "v1.3.0-rc.1", "v1.3.0-rc.1", "beta"),
        ("people@v1.2.3", "v1.2.3", "people-v1.2.3", "stable"),
    ],
)
def test_tags(tag: str, version: str, name: str, channel: str) -> None:
    from pipeline.release.tags import parse

    found = parse(tag)
    assert (found.version, found.release, found.channel) == (version, name, channel)


def test_a_stage_releases_the_version_that_is_registered_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    from pipeline.release.tags import parse

    monkeypatch.chdir(tmp_path)
    for command in ("init -q", "-c user.name=a -c user.email=a@b commit -q --allow-empty -m x", "tag people@v2.0.0"):
        subprocess.run(["git", *command.split()], check=True)
    found = parse("people#field-test#3")
    assert (found.version, found.release, found.channel) == ("v2.0.0", "people-v2.0.0", "field-test")


@pytest.mark.parametrize(
    "tag", ["1.2.3", "release", "people@v1.2.3!", "people#stable!", "people@deprecated", "v1.2", "../x"]
)
def test_no_tags_of_a_release(tag: str) -> None:
    done = release("build", tag)
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
