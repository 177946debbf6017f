"""Pruning: it ends at the budget and not far beyond, takes what matters least, and leaves networks that still work."""

import copy
from dataclasses import replace

import nncf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import models
from models import ModelSpec
from pipeline.compress.budget import Objective, macs
from pipeline.compress.channels import MOST, ROUND_TO, _add_gradients, _without_channels
from pipeline.compress.steps.prune import Prune
from pipeline.formats.from_torch import to_onnx, trace
from pipeline.formats.graph.graph import Graph
from pipeline.formats.graph.onnx_graph import graph_of
from pipeline.predict import frame, predict_graph
from pipeline.records.targets import Precision, load_target
from pipeline.system.errors import InputError
from runners.contract.engine_recipe import INPUT
from tests.states import CLASSES, Noise, small, state_of

ATOM = "atom-x5-e3940"


def pruned(
    network: nn.Module, spec: ModelSpec, precision: Precision = "int8", seed: int = 0, **budget: object
) -> nn.Module:
    state = state_of(network, spec, precision, seed)
    Prune.model_validate(budget).apply(state)
    assert state.spec == spec
    return state.network


def graph(network: nn.Module, spec: ModelSpec) -> Graph:
    return graph_of(trace(network, spec), spec.name)


def rate(network: nn.Module, spec: ModelSpec, precision: Precision = "int8", target: str = ATOM) -> float:
    return predict_graph(graph(network, spec), load_target(target), precision, batch=4).inferences_per_s


@pytest.fixture
def _no_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the network takes no time: small networks are quick to prune, and never what a frame waits for."""
    monkeypatch.setattr(frame, "parts", lambda regions, values: dict.fromkeys(sum(frame.ON_ONE_CORE, ()), 0.0))


def frames_if(network: nn.Module, spec: ModelSpec, precision: Precision, target: str, faster: float) -> float:
    """Frames a second that the network reaches if it gets so much faster, with the room that is left for its error."""
    found = predict_graph(graph(network, spec), load_target(target), precision, batch=4)
    return 1000 * faster / (found.latency_ms / (1 - found.error_percent / 100))


def channels(network: nn.Module) -> list[int]:
    return [m.weight.shape[0] for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize(("name", "size", "share"), [("lenet-300-100", 28, 0.3), ("lenet-5", 32, 0.8)])
def test_a_share_of_the_macs_is_kept_and_nearly_used(name: str, size: int, share: float) -> None:
    network, spec = small(name, size)
    left = pruned(network, spec, macs=share)
    kept = macs(graph(left, spec)) / macs(graph(network, spec))
    assert 0.8 * share < kept <= share
    assert left(torch.zeros(2, 3, size, size)).shape == (2, CLASSES)


@pytest.mark.usefixtures("_no_camera")
@pytest.mark.parametrize(
    ("target", "precision", "faster"), [(ATOM, "int8", 1.2), (ATOM, "fp32", 1.2), ("jetson-tx2-maxq", "fp16", 1.02)]
)
def test_a_target_s_speed_is_reached_and_not_far_exceeded(target: str, precision: Precision, faster: float) -> None:
    network, spec = small("lenet-300-100", 28)
    before = rate(network, spec, precision, target)
    wanted = frames_if(network, spec, precision, target, faster)
    left = pruned(network, spec, precision, target=target, frames_per_s=wanted)
    assert faster * before <= rate(left, spec, precision, target) < 1.05 * faster * before


def test_the_target_s_own_objective_is_the_default() -> None:
    assert Prune(target=ATOM).objective(ATOM, "int8") == Objective(load_target(ATOM), "int8", 30)
    asked = Prune(target=ATOM, frames_per_s=15).objective(ATOM, "fp32")
    assert asked == Objective(load_target(ATOM), "fp32", 15)


@pytest.mark.usefixtures("_no_camera")
def test_the_precision_that_the_recipe_ends_in_decides_how_much_goes() -> None:
    network, spec = small("lenet-300-100", 28)
    wanted = frames_if(network, spec, "int8", ATOM, 1.2)
    in_int8 = pruned(network, spec, "int8", target=ATOM, frames_per_s=wanted)
    in_fp32 = pruned(network, spec, "fp32", target=ATOM, frames_per_s=wanted)
    assert macs(graph(in_fp32, spec)) < 0.9 * macs(graph(in_int8, spec))


def test_counts_are_what_kernels_like_and_no_layer_is_starved() -> None:
    network, spec = small("squeezenet-1.1", 64)
    left = pruned(network, spec, macs=0.3)
    before, after = channels(network), channels(left)
    assert before[-1] == after[-1] == CLASSES
    for was, now in zip(before[:-1], after[:-1], strict=True):
        assert now == was or now % ROUND_TO == 0
        assert now >= min(was, ROUND_TO, (1 - MOST) * was)
    assert sum(after) < 0.7 * sum(before)


def test_the_channels_that_nothing_depends_on_go_first() -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 16, 3)
    unused = torch.randperm(32)[:16]
    with torch.no_grad():
        second.weight[:, unused] = 0
    network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.append(nn.Linear(16, CLASSES)).eval()
    spec = replace(models.spec("lenet-5"), input_size=12)
    _add_gradients(network, spec, Noise(), 0)
    half = _without_channels(network, spec, 0.5)
    assert channels(half) == [16, 8, CLASSES]
    kept = {tuple(row) for row in first.weight.flatten(1).tolist()}
    assert {tuple(row) for row in half[0].weight.flatten(1).tolist()} <= kept  # type: ignore[index]
    assert half[2].weight.abs().sum(dim=(0, 2, 3)).min() > 0  # type: ignore[index, union-attr, operator]


@pytest.mark.parametrize("budget", [{"macs": 0.999}, {"target": ATOM}])
def test_a_network_within_its_budget_comes_back_as_it_is(budget: dict[str, object]) -> None:
    network, spec = small("lenet-5", 32)
    before = copy.deepcopy(network.state_dict())
    left = pruned(network, spec, **budget)
    assert (left is network) == ("target" in budget)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"macs": 0.01}, r"lenet-5: .* still takes .*% of its MACs, not 1.0%; raise `macs` in params.yaml, or"),
        (
            {"target": ATOM, "frames_per_s": 1e6},
            rf"\d\.\d ms a frame \(predicted, int8\) on {ATOM}, of which 0.0 are left .* lower `frames_per_s` in",
        ),
        ({"target": "tegra-parker-a57"}, "no published measurements for tegra-parker-a57 at int8"),
    ],
)
def test_a_budget_out_of_reach_is_refused_in_one_line(budget: dict[str, object], message: str) -> None:
    network, spec = small("lenet-5", 32)
    with pytest.raises(InputError, match=message) as refusal:
        pruned(network, spec, **budget)
    assert "\n" not in str(refusal.value)


def test_the_same_seed_gives_the_same_network() -> None:
    states = [pruned(*small("lenet-5", 32), macs=0.8).state_dict() for _ in range(2)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("efficientnet-lite0", 0.01),
        ("squeezenet-1.1", 0.01),
        ("mobilenet-v3-small", 0.02),  # NNCF leaves squeeze-and-excite gates in FP32, which nobody knows before
    ],
)
def test_the_float_network_is_predicted_as_its_quantized_file(name: str, tolerance: float) -> None:
    network, spec = small(name, 64)
    left = _without_channels(with_gradients(network), spec, 0.4)
    images = np.random.default_rng(1).standard_normal((2, 1, 3, 64, 64)).astype(np.float32)
    quantized = nncf.quantize(to_onnx(left, spec), nncf.Dataset([{INPUT: image} for image in images]))
    expected = predict_graph(graph_of(quantized, name), load_target(ATOM), "int8", batch=4).inferences_per_s
    assert rate(left, spec) == pytest.approx(expected, rel=tolerance)


def with_gradients(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    return network


# ---- odd networks

layer = st.tuples(st.sampled_from(["plain", "grouped", "depthwise", "residual"]), st.integers(1, 70))


class Residual(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(count, count, 3, padding=1), nn.BatchNorm2d(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.inner(x))


def odd_network(layers: list[tuple[str, int]]) -> nn.Module:
    network, count = nn.Sequential(), 3
    for kind, wanted in layers:
        if kind == "plain":
            network.append(nn.Conv2d(count, wanted, 3, padding=1))
            count = wanted
        elif kind == "residual":
            network.append(Residual(count))
        else:
            groups = count if kind == "depthwise" else next(g for g in (4, 3, 2, 1) if count % g == 0)
            network.append(nn.Conv2d(count, count, 3, padding=1, groups=groups))
        network.append(nn.ReLU())
    network.append(nn.Conv2d(count, count, 1))  # the library leaves a depthwise layer before the head as it is
    return network.extend([nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * count, CLASSES)]).eval()


@settings(max_examples=15)
@given(layers=st.lists(layer, min_size=1, max_size=4), ratios=st.tuples(st.floats(0, 0.8), st.floats(0, 0.8)))
def test_odd_networks_work_and_only_shrink(layers: list[tuple[str, int]], ratios: tuple[float, float]) -> None:
    torch.manual_seed(0)
    network = with_gradients(odd_network(layers))
    spec = replace(models.spec("lenet-5"), input_size=8)
    smaller, smallest = (_without_channels(network, spec, ratio) for ratio in sorted(ratios))
    for result in (smaller, smallest):
        assert result(torch.zeros(2, 3, 8, 8)).shape == (2, CLASSES)
        assert all(0 < now <= was for now, was in zip(channels(result), channels(network), strict=True))
    sizes = [macs(graph(result, spec)) for result in (network, smaller, smallest)]
    assert sizes == sorted(sizes, reverse=True)
