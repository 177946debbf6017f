"""Fewer pixels: as many as a target has time for, with all weights kept, and taught by a parent that sees more."""

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

import models
from models import ModelSpec
from pipeline.compress.budget import Objective
from pipeline.compress.steps.resize import STEP, Resize
from pipeline.formats.from_torch import trace
from pipeline.formats.graph.onnx_graph import graph_of
from pipeline.predict import predict_graph
from pipeline.records.predictions import Prediction
from pipeline.records.targets import Precision, load_target
from pipeline.system.errors import InputError
from pipeline.train.distillation import at_its_size
from tests.states import small, state_of

ATOM, MAXQ = "atom-x5-e3940", "jetson-tx2-maxq"


def mobilenet(size: int = 96) -> tuple[nn.Module, ModelSpec]:
    return small("mobilenet-v2", size)


def resized(network: nn.Module, spec: ModelSpec, precision: Precision = "int8", **budget: object) -> ModelSpec:
    state = state_of(network, spec, precision)
    Resize.model_validate(budget).apply(state)
    assert state.network is network  # with all its weights
    assert state.parent_spec == spec
    return state.spec


def predicted(network: nn.Module, spec: ModelSpec, target: str, precision: Precision) -> Prediction:
    return predict_graph(graph_of(trace(network, spec), spec.name), load_target(target), precision, batch=4)


def test_a_size_that_is_asked_for_is_taken() -> None:
    network, spec = mobilenet()
    assert resized(network, spec, size=50) == replace(spec, input_size=50)


def test_a_target_gets_the_largest_size_that_it_has_time_for() -> None:
    network, spec = mobilenet(192)
    found = resized(network, spec, target=ATOM)
    larger = replace(spec, input_size=found.input_size + STEP)
    fits, does_not = (predicted(network, size, ATOM, "int8") for size in (found, larger))
    assert fits.network_share is not None
    assert does_not.network_share is not None
    # Its own error is left as room: on the limit itself, half of what is compressed would be too slow on the board.
    assert fits.network_share * (1 - fits.error_percent / 100) >= 1
    assert does_not.network_share * (1 - does_not.error_percent / 100) < 1
    assert fits.frames_per_s is not None
    assert fits.frames_per_s > 30


def test_the_precision_that_the_recipe_ends_in_decides() -> None:
    network, spec = mobilenet()
    wanted = 0.9 * (predicted(network, spec, ATOM, "int8").frames_per_s or 0)
    assert resized(network, spec, "int8", target=ATOM, frames_per_s=wanted) == spec
    assert resized(network, spec, "fp32", target=ATOM, frames_per_s=wanted).input_size < spec.input_size


def test_it_goes_on_until_the_watts_fit_as_well() -> None:
    network, spec = mobilenet(128)
    found = resized(network, spec, "fp16", target=MAXQ)
    larger, here = (predicted(network, size, MAXQ, "fp16") for size in (spec, found))
    assert found.input_size == spec.input_size - STEP
    assert larger.power_w is not None
    assert here.power_w is not None
    assert larger.network_share is not None
    assert larger.network_share * (1 - larger.error_percent / 100) > 1  # so that it is the watts that decide
    assert here.power_w <= 5 < larger.power_w


def test_too_many_watts_are_said_to_be_what_is_wrong() -> None:
    network, spec = mobilenet(144)
    objective = Objective(load_target(MAXQ), "fp16", 30)
    graph = graph_of(trace(network, spec), spec.name)
    assert not objective.is_kept(graph)
    assert re.match(r"takes 5\.\d\d W \(predicted, fp16\) on jetson-tx2-maxq, not 5; raise", objective.shortfall(graph))


def test_a_network_that_is_fast_enough_keeps_its_size() -> None:
    network, spec = mobilenet()
    assert resized(network, spec, target=ATOM) == spec


@pytest.mark.parametrize(
    ("name", "budget", "message"),
    [
        ("mobilenet-v2", {"size": 96}, "mobilenet-v2 takes 96 pixels: resize to fewer, not to 96"),
        ("mobilenet-v2", {"size": 256}, "resize to fewer, not to 256"),
        ("lenet-5", {"size": 32}, "lenet-5 takes regions of 32 pixels only: leave `resize` out"),
        ("alexnet", {"target": ATOM}, "alexnet takes regions of 224 pixels only"),
        (
            "mobilenet-v2",
            {"target": ATOM, "frames_per_s": 1e6},
            r"even at 32x32 pixels it takes .* lower `frames_per_s` in params.yaml, or take a smaller model",
        ),
        ("mobilenet-v2", {"target": "tegra-parker-a57"}, "no published measurements for tegra-parker-a57"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(name: str, budget: dict[str, object], message: str) -> None:
    network, spec = mobilenet() if name == "mobilenet-v2" else (nn.Identity(), models.spec(name))
    with pytest.raises(InputError, match=message) as refusal:
        resized(network, spec, **budget)
    assert "\n" not in str(refusal.value)


def test_a_teacher_sees_smaller_regions_at_its_own_size() -> None:
    class Sees(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images

    ramp = torch.linspace(0, 1, 128).expand(1, 3, 128, 128).contiguous()
    seen = at_its_size(Sees(), 224, 128)(ramp)
    assert seen.shape == (1, 3, 224, 224)
    assert seen.diff(dim=3).min() >= 0  # still a ramp from left to right, of the same brightness
    assert seen.mean().item() == pytest.approx(0.5, abs=1e-3)
    teacher = Sees()
    assert at_its_size(teacher, 224, 224) is teacher
