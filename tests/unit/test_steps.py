"""The steps of a recipe, whichever there are: found by name, explained, checked, and kept in an order that works."""

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from pydantic import ValidationError

from pipeline.cli import cli
from pipeline.compress import steps
from pipeline.compress.recipe import Recipe
from pipeline.compress.state import State, make
from pipeline.compress.step import ForTarget, Step
from pipeline.project.params import load_params
from pipeline.records.targets import Precision, describe
from pipeline.system.errors import InputError
from tests.conftest import TINY_PARAMS
from tests.graphs import calculated
from tests.states import small, state_of

NAMES = steps.names()
BEFORE = [(name, other, why) for name in NAMES for other, why in steps.step(name).goes_before.items()]
EXCLUDES = [(name, other, why) for name in NAMES for other, why in steps.step(name).excludes.items()]
ONCE = [name for name in NAMES if steps.step(name).once]
LAST = [name for name in NAMES if steps.step(name).last]


def example(name: str) -> dict[str, Any]:
    """A step as it stands in params.yaml, with settings that suit any network."""
    return {name: steps.step(name).example}


def refusal(*written: Any) -> str:
    """Why these steps make no recipe."""
    with pytest.raises(ValidationError) as refused:
        Recipe.model_validate({"steps": list(written)})
    line = describe(refused.value)
    assert "\n" not in line
    return line


def agree(name: str, other: str) -> bool:
    """Whether a step can follow another one, as far as rules about these two go."""
    first, second = steps.step(other), steps.step(name)
    return not (other in second.goes_before or other in second.excludes or name in first.excludes or first.last)


# ---- each step


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_found_by_its_name(name: str) -> None:
    found = steps.step(name)
    assert issubclass(found, Step)
    assert found.title() == name
    assert not inspect.isabstract(found)
    assert found.gives in (None, *get_args(Precision))


def test_an_unknown_step_is_one_line_with_the_nearest_name() -> None:
    assert f"unknown step 'prun': did you mean 'prune'? there are {', '.join(NAMES)}" in refusal("prun")
    with pytest.raises(InputError, match="unknown step '__init__'"):
        steps.step("__init__")


@pytest.mark.parametrize("name", NAMES)
def test_a_step_and_all_its_settings_are_explained(name: str) -> None:
    found = steps.step(name)
    text = vars(found)["__doc__"]
    assert text, "a step's docstring is what its user reads"
    for setting, field in found.model_fields.items():
        assert field.description or f"`{setting}`" in text, setting


def test_the_command_explains_every_step_and_setting() -> None:
    shown = CliRunner().invoke(cli, ["methods"])
    assert shown.exit_code == 0
    heads = [line for line in shown.output.splitlines() if line and not line.startswith(" ")]
    assert heads == NAMES
    lines = {name: lines_of(shown.output, name) for name in NAMES}
    for name in NAMES:
        found = steps.step(name)
        for line in inspect.cleandoc(found.__doc__ or "").splitlines():
            assert line in lines[name]
        for setting, field in found.model_fields.items():
            [told] = [line for line in lines[name] if line.startswith(f"{setting} (")]
            assert told.endswith(f": {field.description}" if field.description else ")")
            assert ("required" in told) == field.is_required()
        for other, why in found.goes_before.items():
            assert f"Goes before {other}: {why}." in lines[name]
        for why in (*found.excludes.values(), *([found.last] if found.last else [])):
            assert f"{why[0].upper()}{why[1:]}." in lines[name]
        assert ("Once only." in lines[name]) == found.once
        assert yaml.safe_load(lines[name][-2 if not lines[name][-1] else -1]) == [{name: found.example}]


def lines_of(output: str, name: str) -> list[str]:
    """What `edgeproof methods` says below a step's name."""
    _, below = f"\n{output}".split(f"\n{name}\n", 1)
    lines = below.splitlines()
    end = next((index for index, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    return [line.strip() for line in lines[:end]]


@pytest.mark.parametrize("name", NAMES)
def test_the_example_settings_make_a_recipe_that_is_written_as_it_was_read(name: str) -> None:
    found = steps.step(name)
    recipe = Recipe.model_validate({"steps": [example(name)]})
    [made] = recipe.steps
    assert isinstance(made, found)
    assert made.model_dump(exclude_unset=True) == found.example
    assert recipe.precision == (found.gives or "fp32")
    assert recipe.targets == []
    assert Recipe.model_validate({"steps": recipe.as_yaml()}) == recipe


@pytest.mark.parametrize("name", [name for name in NAMES if issubclass(steps.step(name), ForTarget)])
def test_a_recipe_names_the_targets_that_its_steps_are_for(name: str) -> None:
    settings = steps.step(name).example
    for given in (settings, {}):  # some steps take a target in place of another setting
        try:
            recipe = Recipe.model_validate({"steps": [{name: {**given, "target": "jetson-tx2-maxq"}}]})
        except ValidationError:
            continue
        assert recipe.targets == ["jetson-tx2-maxq"]
        return
    raise AssertionError("it takes no target")


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_setting_is_one_clear_line(edit_params: Callable[..., None], name: str) -> None:
    edit_params(recipes={**TINY_PARAMS["recipes"], "mine": [{name: {**steps.step(name).example, "oops": 1}}]})
    with pytest.raises(InputError) as refused:
        load_params()
    line = str(refused.value)
    assert f"recipes.mine.steps: {name}: oops: there is no such key" in line
    assert "\n" not in line


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("settings", [3, 0, False, "much", [1], []])
def test_settings_that_are_no_mapping_are_one_clear_line(name: str, settings: object) -> None:
    assert f"{name}: its settings have to be a mapping, not {settings!r}" in refusal({name: settings})


def test_what_is_wrong_with_a_step_as_a_whole_is_said_of_the_step() -> None:
    assert "prune: give one budget" in refusal("prune")


@pytest.mark.parametrize("written", [3, [], {}, {"prune": {"macs": 0.5}, "fp16": None}])
def test_what_is_no_step_is_one_clear_line(written: object) -> None:
    assert "a step is a name, or a name with its settings, not" in refusal(written)


def test_reading_a_recipe_takes_nothing_heavy() -> None:
    every = "[steps.step(name).model_validate(steps.step(name).example) for name in steps.names()]"
    heavy = "{'torch', 'nncf', 'openvino', 'onnxruntime', 'cv2'}"
    code = (
        f"import sys; from pipeline.compress import recipe, steps; {every}; sys.exit(str({heavy} & {{*sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "set()\n"


# ---- their order


def test_rules_are_about_steps_that_there_are() -> None:
    for name, other, why in BEFORE + EXCLUDES:
        assert other in NAMES
        assert other != name  # that is what `once` says
        assert why
    for name, other, _ in BEFORE:
        assert name not in steps.step(other).goes_before, "neither of them could come first"


@pytest.mark.parametrize(("name", "other", "why"), BEFORE)
def test_a_step_that_comes_too_late_is_refused_with_the_reason(name: str, other: str, why: str) -> None:
    assert f"{name} goes before {other}: {why}" in refusal(example(other), example(name))
    for between in [step for step in NAMES if agree(step, other) and agree(name, step)]:
        assert f"{name} goes before {other}: {why}" in refusal(example(other), example(between), example(name))
    assert Recipe.model_validate({"steps": [example(name), example(other)]}).steps


@pytest.mark.parametrize(("name", "other", "why"), EXCLUDES)
def test_steps_that_exclude_each_other_are_refused_with_the_reason(name: str, other: str, why: str) -> None:
    assert why in refusal(example(other), example(name))
    assert why in refusal(example(name), example(other))


@pytest.mark.parametrize("name", ONCE)
def test_a_second_time_is_refused(name: str) -> None:
    assert f"{name} can be there once only" in refusal(example(name), example(name))


@pytest.mark.parametrize("name", LAST)
def test_nothing_follows_what_has_to_be_the_last(name: str) -> None:
    why = steps.step(name).last
    assert why
    followers = [other for other in NAMES if other not in steps.step(name).excludes]
    assert name in followers
    for other in followers:
        assert why in refusal(example(name), example(other))
        if other != name:
            assert Recipe.model_validate({"steps": [example(other), example(name)]}).steps


@pytest.mark.parametrize("name", NAMES)
def test_what_no_rule_forbids_is_taken_in_any_order(name: str) -> None:
    for other in NAMES:
        if other != name and agree(name, other):
            taken = Recipe.model_validate({"steps": [example(other), example(name)]})
            assert [step.title() for step in taken.steps] == [other, name]
    if name not in ONCE + LAST:
        assert len(Recipe.model_validate({"steps": [example(name)] * 2}).steps) == 2


# ---- a step of one's own

FADE = '''
"""A network that knows less and less."""

from typing import ClassVar

from pydantic import Field

from pipeline.compress.step import Step


class Faint(Step):
    """What steps of this file have in common."""

    share: float = Field(ge=0, le=1, description="of every weight that stays")


class Fade(Faint):
    """Every weight becomes a share of itself, for no good reason."""

    goes_before: ClassVar[dict[str, str]] = {"quantize": "it fades real numbers"}
    once: ClassVar[bool] = True
    example: ClassVar[dict[str, float]] = {"share": 0.5}

    def apply(self, state):
        for parameter in state.network.parameters():
            parameter.data *= self.share
'''


@pytest.fixture
def fade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A step that is nothing but one more file among the steps; the answer is its name."""
    folder = tmp_path / "steps"
    folder.mkdir()
    (folder / "fade.py").write_text(FADE)
    monkeypatch.setattr(steps, "__path__", [*steps.__path__, str(folder)])
    yield "fade"
    sys.modules.pop(f"{steps.__name__}.fade", None)
    vars(steps).pop("fade", None)
    steps.step.cache_clear()


def test_a_step_that_is_dropped_in_as_one_file_is_found_and_explained(fade: str) -> None:
    assert steps.names() == sorted([*NAMES, fade])
    assert steps.step(fade).__name__ == "Fade"
    shown = CliRunner().invoke(cli, ["methods"])
    assert shown.exit_code == 0
    assert lines_of(shown.output, fade)[:5] == [
        "Every weight becomes a share of itself, for no good reason.",
        "",
        "share (float, required): of every weight that stays",
        "",
        "Goes before quantize: it fades real numbers.",
    ]


def test_a_step_that_is_dropped_in_stands_in_recipes(fade: str, edit_params: Callable[..., None]) -> None:
    edit_params(recipes={"faded": [{fade: {"share": 0.5}}, "fp16"]}, methods=["faded"], targets=["jetson-tx2-maxq"])
    recipe = load_params().recipe("faded")
    assert [step.title() for step in recipe.steps] == [fade, "fp16"]
    assert recipe.precision == "fp16"
    assert recipe.as_yaml() == [{fade: {"share": 0.5}}, "fp16"]
    assert "fade goes before quantize: it fades real numbers" in refusal(example("quantize"), example(fade))
    assert "fade can be there once only" in refusal(example(fade), example(fade))
    assert "fade: share: Input should be less than or equal to 1" in refusal({fade: {"share": 2}})


def test_a_step_that_is_dropped_in_does_its_work(fade: str) -> None:
    from pipeline.compress.state import make
    from tests.states import small, state_of

    def answers(*written: Any) -> Any:
        graph = make(Recipe.model_validate({"steps": list(written)}), state_of(*small("lenet-300-100", 28)))
        return calculated(graph, np.random.default_rng(0).normal(size=(1, 3, 28, 28)).astype(np.float32))

    assert answers().any()
    assert not answers({fade: {"share": 0}}).any()


def test_a_step_draws_the_same_whatever_those_before_it_drew() -> None:
    """Else a candidate would depend on whether a training before was made or read."""
    drawn = []

    def draw(_: State) -> None:
        drawn.append(torch.rand(1).item())

    steps = [SimpleNamespace(apply=lambda _: torch.rand(5)), SimpleNamespace(apply=draw), SimpleNamespace(apply=draw)]
    make(cast(Recipe, SimpleNamespace(steps=steps)), state_of(*small("lenet-5", 32)))
    assert drawn[0] == drawn[1]
