"""Kinds of emulation: each is found by its name, says where a model has to run, and can be told about in a sentence."""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline import emulators
from pipeline.arithmetic import kinds
from pipeline.arithmetic.kinds import Kind, Plan, capped_isa
from pipeline.cli import cli
from pipeline.processes import host, side_by_side
from pipeline.processes.child import Place
from pipeline.records.targets import Precision, Target, load_target, target_names
from pipeline.system.errors import InputError

CAP = "ONEDNN_MAX_CPU_ISA"
CAPPED = [name for name in target_names() if load_target(name).emulation.kind == "capped-isa"]
ATOM = load_target("atom-x5-e3940")
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")


def targets_of(kind: str) -> list[Target]:
    return [target for target in map(load_target, target_names()) if target.emulation.kind == kind]


def places(plan: Plan) -> list[Place]:
    one_each = [plan.host, plan.target, plan.cloud, plan.audit, plan.analysis]
    return [place for place in [*one_each, *plan.bounds.values()] if place is not None]


@pytest.fixture(params=[True, False], ids=["here sums saturate", "here they do not"])
def either_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """This machine, as one whose 8-bit sums saturate and as one whose do not."""
    monkeypatch.setattr(host, "saturates", lambda: request.param)
    saturates: bool = request.param
    return saturates


@pytest.mark.parametrize("name", kinds.names())
def test_a_kind_plans_places_that_there_are(name: str, either_machine: bool) -> None:
    kind, targets = kinds.named(name), targets_of(name)
    assert targets, "a kind that no target names is never run"
    for target in targets:
        assert kinds.of(target) is kind
        for precision in PRECISIONS:
            if target.refusal(precision):
                continue
            plan = kind.plan(target, precision)
            for place in places(plan):
                assert callable(importlib.import_module(place.backend).open_backend)
                assert place.threads > 0
                assert place.description
            descriptions = {place.description for place in places(plan)}
            assert len(descriptions) == len(set(map(repr, places(plan))))  # a person can tell them apart
            assert (plan.target is None) == bool(plan.bounds)  # one answer, or two ends of an interval
            assert plan.layers_from is None or plan.layers_from in plan.bounds
            assert (plan.cloud is None) == (plan.cloud_basis is None) == ("accuracy.cloud" in plan.not_measured)
            assert plan.audit is None or target.emulation.emulator in emulators.names()


def test_where_sums_saturate_here_the_cloud_is_simulated_or_not_measured(either_machine: bool) -> None:
    quantized = kinds.of(ATOM).plan(ATOM, "int8")
    assert quantized.cloud is not None
    assert quantized.cloud_basis == ("simulated" if either_machine else "measured")
    assert quantized.cloud.settings["saturating"] is not either_machine
    assert kinds.of(ATOM).plan(ATOM, "fp32").cloud_basis == "measured"
    [arm] = targets_of("qemu-aarch64")
    assert (kinds.of(arm).plan(arm, "int8").cloud is None) == either_machine
    assert kinds.of(arm).plan(arm, "fp32").cloud_basis == "measured"


@pytest.mark.parametrize("name", target_names())
def test_a_kind_explains_itself_in_one_sentence(name: str) -> None:
    target = load_target(name)
    text = kinds.of(target).explain(target)
    assert len(text.split()) > 5
    assert not any(mark in text for mark in ("\n", ". ", "None"))
    assert not text.endswith(".")  # it goes on a line of its own
    shown = CliRunner().invoke(cli, ["targets", "show", name])
    assert (shown.exit_code, shown.output.count(text)) == (0, 1)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("qemu-aarch46", "did you mean 'qemu-aarch64'? "),
        ("capped_isa", "did you mean 'capped-isa'? "),
        ("fp16", ""),
        ("__init__", ""),
        ("../targets", ""),
        ("", ""),
    ],
)
def test_an_unknown_kind_is_one_clear_line_with_the_nearest_name(name: str, nearest: str) -> None:
    target = ATOM.model_copy(update={"emulation": ATOM.emulation.model_copy(update={"kind": name})})
    with pytest.raises(InputError) as refusal:
        kinds.of(target)
    assert str(refusal.value) == (
        f"unknown kind of emulation {name!r}: {nearest}there are capped-isa, fp16-boundaries, qemu-aarch64"
    )


def test_fp16_must_survive_every_kind_that_calculates_in_it() -> None:
    assert kinds.with_fp16() == [kinds.named("fp16-boundaries")]


# ---- the cap of the target's instruction set


@pytest.mark.parametrize("name", CAPPED)
def test_only_the_target_s_own_run_is_capped(name: str, either_machine: bool) -> None:
    target = load_target(name)
    cap = target.emulation.environment
    assert CAP in cap
    assert capped_isa.target_place(target).environment == cap
    uncapped = dict.fromkeys(cap)  # taken away, should a user have it set
    for place in (capped_isa.host_place(target), capped_isa.host_place(target, saturating=False)):
        assert place.environment == uncapped
    assert capped_isa.audit_place(target).environment == uncapped
    for precision in PRECISIONS:
        plan = kinds.of(target).plan(target, precision)
        for place in places(plan):
            assert place.environment == (cap if place == plan.target else uncapped)


TELLS_THE_CAP = """
import os
import numpy as np

def open_backend(job):
    return Cap()

class Cap:
    def infer(self, batch):
        return np.zeros((len(batch), 1), np.float32)

    def facts(self):
        return {"cap": os.environ.get("ONEDNN_MAX_CPU_ISA")}
"""


def test_a_user_s_own_cap_reaches_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run that is to show what a server answers would saturate as well, and nobody would see a difference."""
    (tmp_path / "tells_the_cap.py").write_text(TELLS_THE_CAP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv(CAP, "AVX")
    asked = [
        replace(place, backend="tells_the_cap", memory_limit_mib=None)
        for place in (capped_isa.target_place(ATOM), capped_isa.host_place(ATOM), capped_isa.audit_place(ATOM))
    ]
    found = side_by_side.run(tmp_path / "model.xml", [np.zeros((1, 3), np.float32)], 1, (1, 3), asked)
    assert [outputs.facts["cap"] for outputs in found] == [ATOM.emulation.environment[CAP], None, None]


# ---- a kind of one's own

DICE = """
from pipeline.arithmetic.kinds import Kind, Plan
from pipeline.processes.child import Place


class Dice(Kind):
    def explain(self, target):
        return f"{target.name} is thrown"

    def plan(self, target, precision):
        here = Place("this machine", "pipeline.processes.backends.onnxruntime_cpu", 1)
        return Plan(host=here, target=here, grade="unaudited")


KIND = Dice()
"""


@pytest.fixture
def own_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A kind that is nothing but one more file among the kinds; the answer is its name."""
    (tmp_path / "own_dice.py").write_text(DICE)
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    yield "own-dice"
    sys.modules.pop(f"{kinds.__name__}.own_dice", None)
    vars(kinds).pop("own_dice", None)
    kinds.named.cache_clear()


def test_a_kind_that_is_dropped_in_as_one_file_is_found(own_kind: str) -> None:
    assert own_kind in kinds.names()
    target = ATOM.model_copy(update={"emulation": ATOM.emulation.model_copy(update={"kind": own_kind})})
    found = kinds.of(target)
    assert isinstance(found, Kind)
    assert found.explain(target) == "atom-x5-e3940 is thrown"
    assert found.plan(target, "fp32").grade == "unaudited"
    assert found not in kinds.with_fp16()
