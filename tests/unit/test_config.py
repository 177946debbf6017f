"""params.yaml and target profiles: what is right is read, what is wrong is one clear line."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipeline.compress.recipe import Recipe
from pipeline.compress.steps.cluster import Cluster
from pipeline.compress.steps.prune import Prune
from pipeline.compress.steps.quantize import Quantize
from pipeline.compress.steps.resize import Resize
from pipeline.project.params import load_params
from pipeline.records import targets
from pipeline.records.targets import load_target, target_names
from pipeline.system.errors import InputError
from tests.conftest import TINY_PARAMS

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_repository_s_own_params_are_valid() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    assert {"fp32", "int8", "int8-atom", "resized-int8"} <= set(params.methods)


def test_a_method_is_a_list_of_steps_and_its_last_step_decides_the_precision(project: Path) -> None:
    params = load_params()
    assert [type(step) for step in params.recipe("pruned-int8").steps][::2] == [Prune, Quantize]
    assert [params.recipe(name).precision for name in ("fp32", "fp16", "int8")] == ["fp32", "fp16", "int8"]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"models": ["lenet-6"]}, "lenet-5"),
        ({"models": []}, "models"),
        ({"models": ["lenet-5", "lenet-5"]}, "listed twice: lenet-5"),
        ({"methods": ["int4"]}, "no recipe called 'int4'"),
        ({"targets": ["atom-x5-e394"]}, "did you mean 'atom-x5-e3940'"),
        ({"targets": ["jetson-tx2-maxq"], "methods": ["int8"]}, "DP4A"),
        ({"seed": "many"}, "seed"),
        ({"sead": 3}, "sead: there is no such key"),
        ({"split": {"train": [0, 50], "val": [40, 60], "test": [70, 80]}}, "follow each other in time"),
        ({"recipes": {"fp32": [], "int8": [{"quantise": {}}]}}, "recipes.int8.*did you mean 'quantize'"),
        ({"recipes": {"fp32": [], "int8": [3]}}, "recipes.int8.*a step is a name"),
        ({"recipes": {"fp32": [], "int8": [{"fp16": {}, "cluster": {"bits": 4}}]}}, "recipes.int8.*a step is a name"),
        (
            {"recipes": {"fp32": [], "int8": ["fp16", {"quantize": {"calibration_samples": 1}}]}},
            "fp16 and quantize exclude each other",
        ),
        ({"recipes": {"fp32": [], "int8": ["fp16", {"cluster": {"bits": 4}}]}}, "can be the last step only"),
        ({"recipes": {"fp32": [], "int8": [{"quantize": {"calibration_samples": 0}}]}}, "calibration_samples"),
        ({"gates": {"accuracy_drop_points": float("nan")}}, "accuracy_drop_points"),
    ],
)
def test_wrong_values_are_named(edit_params: Callable[..., None], values: dict[str, object], complaint: str) -> None:
    edit_params(**values)
    with pytest.raises(InputError, match=complaint) as caught:
        load_params()
    assert "\n" not in str(caught.value)


CALIBRATED = {"quantize": {"calibration_samples": 1}}
HALF_MACS, SHARED = {"prune": {"macs": 0.5}}, {"cluster": {"bits": 4}}
SMALLER = {"resize": {"size": 160}}


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([{"prune": {"macs": 0.5, "target": "atom-x5-e3940"}}], "give one budget"),
        ([{"prune": {}}], "give one budget"),
        (["prune"], "give one budget"),
        ([{"prune": {"macs": 0.5, "frames_per_s": 15}}], "frames_per_s goes with `target`"),
        ([{"prune": {"macs": 1.0}}], "less than 1"),
        ([{"prune": {"target": "atom-x5-e3940", "frames_per_s": 0}}], "greater than 0"),
        ([{"prune": {"target": "atom-x5-e394"}}], "did you mean 'atom-x5-e3940'"),
        ([{"prune": {"target": "jetson-tx2-maxq"}}, CALIBRATED], "recipes.mine: jetson-tx2-maxq refuses int8: .*DP4A"),
        ([{"prune": {"target": "atom-x5-e3940"}}, "fp16"], "recipes.mine: atom-x5-e3940 refuses fp16"),
        (["resize"], "give one of `size` .* and `target`"),
        ([{"resize": {"size": 160, "target": "atom-x5-e3940"}}], "give one of `size` .* and `target`"),
        ([{"resize": {"size": 160, "frames_per_s": 15}}], "frames_per_s goes with `target`"),
        ([{"resize": {"size": 8}}], "greater than or equal to 32"),
        ([{"resize": {"target": "jetson-tx2-maxq"}}, CALIBRATED], "recipes.mine: jetson-tx2-maxq refuses int8: .*DP4A"),
        ([SMALLER, SMALLER], "resize can be there once only"),
        ([HALF_MACS, SMALLER], "resize goes before prune"),
        ([CALIBRATED, SMALLER], "resize goes before quantize"),
        ([SHARED, SMALLER], "resize goes before cluster"),
        ([CALIBRATED, HALF_MACS], "prune goes before quantize"),
        ([SHARED, HALF_MACS], "prune goes before cluster"),
        ([SHARED, CALIBRATED], "quantize goes before cluster"),
        ([CALIBRATED, CALIBRATED], "quantize can be there once only"),
        ([SHARED, SHARED], "cluster can be there once only"),
        ([CALIBRATED, "fp16"], "fp16 and quantize exclude each other"),
        (["fp16", HALF_MACS], "it can be the last step only"),
    ],
)
def test_recipes_that_cannot_work_are_refused(
    edit_params: Callable[..., None], steps: list[object], complaint: str
) -> None:
    edit_params(recipes={**TINY_PARAMS["recipes"], "mine": steps})
    with pytest.raises(InputError, match=complaint) as caught:
        load_params()
    assert "\n" not in str(caught.value)


def test_steps_in_their_order_are_taken(edit_params: Callable[..., None]) -> None:
    edit_params(
        recipes={
            **TINY_PARAMS["recipes"],
            "mine": [SMALLER, {"prune": {"target": "atom-x5-e3940"}}, CALIBRATED, SHARED],
        }
    )
    recipe = load_params().recipe("mine")
    assert [type(step) for step in recipe.steps] == [Resize, Prune, Quantize, Cluster]
    assert recipe.precision == "int8"
    assert recipe.targets == ["atom-x5-e3940"]


def test_a_recipe_is_written_as_params_yaml_has_it_and_read_back_the_same(project: Path) -> None:
    for name, steps in TINY_PARAMS["recipes"].items():
        recipe = load_params().recipe(name)
        assert recipe.as_yaml() == steps
        assert Recipe.model_validate({"steps": recipe.as_yaml()}) == recipe


@pytest.mark.parametrize("content", [b"", b"[1, 2", b"- a\n- b", b"\xff\xfe\x00", b"just words"])
def test_a_file_that_is_no_mapping_is_refused(project: Path, content: bytes) -> None:
    (project / "params.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"params\.yaml"):
        load_params()


def test_a_missing_file_says_where_to_run(project: Path) -> None:
    (project / "params.yaml").unlink()
    with pytest.raises(InputError, match="in the folder of a project"):
        load_params()


@pytest.mark.parametrize("name", target_names())
def test_every_target_profile_is_valid_and_gives_its_sources(name: str) -> None:
    target = load_target(name)
    assert (target.objective.regions_per_frame, target.objective.frames_per_s) == (4, 30)
    assert {"cpu", "memory", "power"} <= {field.split(".")[0] for field in target.sources}


def test_int8_is_refused_on_parker_with_the_reason() -> None:
    assert "DP4A" in str(load_target("jetson-tx2-maxq").refusal("int8"))
    assert load_target("atom-x5-e3940").refusal("int8") is None


def test_a_damaged_profile_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = yaml.safe_load((targets.TARGETS_FOLDER / "atom-x5-e3940.yaml").read_text())
    monkeypatch.setattr(targets, "TARGETS_FOLDER", tmp_path)
    for content in ("cpu: [", "3", "\udcff", yaml.safe_dump({**good, "cpu": {**good["cpu"], "cores": 0}})):
        (tmp_path / "mine.yaml").write_text(content, errors="surrogateescape")
        with pytest.raises(InputError, match=r"mine\.yaml") as caught:
            load_target("mine")
        assert "\n" not in str(caught.value)


def test_a_profile_that_is_copied_with_a_name_in_it_does_not_pass_for_the_other_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (targets.TARGETS_FOLDER / "atom-x5-e3940.yaml").read_text()
    monkeypatch.setattr(targets, "TARGETS_FOLDER", tmp_path)
    (tmp_path / "mine.yaml").write_text(f"{text}name: atom-x5-e3940\n")
    with pytest.raises(InputError, match=r"mine\.yaml: is called atom-x5-e3940 in it"):
        load_target("mine")
    (tmp_path / "mine.yaml").write_text(f"{text}name: mine\n")
    assert load_target("mine").name == "mine"
