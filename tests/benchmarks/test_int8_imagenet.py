"""INT8 of EfficientNet-Lite0 with ImageNet weights under the Atom's arithmetic: ours beside NNCF and ONNX Runtime.

Calibrated on half of the images and tested on the rest. The images are not part of the project: IMAGENET names a
folder with a manifest.csv (`file,class_index`), by default ../shared/data/imagenet500.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import onnx
import pytest

import models
from pipeline.check.inputs import Preprocessing, open_samples
from pipeline.compress.quantize import quantize
from pipeline.export import INPUT, to_onnx
from pipeline.predict import predict
from pipeline.retest import capped_isa
from pipeline.retest.child import run
from pipeline.retest.score import classes
from pipeline.targets import load_target

ATOM = load_target("atom-x5-e3940")
SHAPE = (4, 3, 224, 224)
IMAGENET = Path(os.environ.get("IMAGENET", "../shared/data/imagenet500"))


class Half:
    """Every second image, beginning with the first or the second."""

    def __init__(self, first: int) -> None:
        whole = open_samples(IMAGENET, shape=SHAPE[1:], classes=1000, preprocessing=Preprocessing.of("tensorflow"))
        assert whole.labels is not None
        self.labels = whole.labels[first::2]
        self._inputs = np.concatenate(list(whole.batches(50)))[first::2]

    def __len__(self) -> int:
        return len(self._inputs)

    def batches(self, size: int) -> Iterator[np.ndarray]:
        return (self._inputs[start : start + size] for start in range(0, len(self._inputs), size))


def by_nncf(graph: onnx.ModelProto, samples: Half, fix: nncf.OverflowFix) -> onnx.ModelProto:
    data = nncf.Dataset(list(samples.batches(1)), lambda value: {INPUT: value})
    settings = nncf.AdvancedQuantizationParameters(overflow_fix=fix)
    preset = nncf.QuantizationPreset.MIXED
    made: onnx.ModelProto = nncf.quantize(
        graph, data, preset=preset, subset_size=len(samples), advanced_parameters=settings
    )
    return made


def by_onnxruntime(graph: onnx.ModelProto, samples: Half, folder: Path) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = samples.batches(1)

        def get_next(self) -> Any:
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch}

    onnx.save(graph, folder / "float.onnx")
    quantize_static(
        folder / "float.onnx", folder / "int8.onnx", Reader(), per_channel=True, weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
    )  # fmt: skip
    return onnx.load(folder / "int8.onnx")


@pytest.mark.filterwarnings("ignore")
def test_int8_on_imagenet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not IMAGENET.exists():
        pytest.skip(
            f"{IMAGENET} not found: ImageNet may not be passed on; set IMAGENET to your own, with a manifest.csv"
        )
    calibration, test = Half(0), Half(1)
    graph = to_onnx(models.build("efficientnet-lite0", 1000), models.spec("efficientnet-lite0"))
    ways: dict[str, Callable[[], onnx.ModelProto]] = {
        "FP32": lambda: graph,
        "NNCF, DISABLE": lambda: by_nncf(graph, calibration, nncf.OverflowFix.DISABLE),
        "NNCF, FIRST_LAYER": lambda: by_nncf(graph, calibration, nncf.OverflowFix.FIRST_LAYER),
        "NNCF, ENABLE": lambda: by_nncf(graph, calibration, nncf.OverflowFix.ENABLE),
        "ONNX Runtime, static": lambda: by_onnxruntime(graph, calibration, tmp_path),
        "edgeproof, no target": lambda: quantize(graph, calibration, None),
        "edgeproof, for the Atom": lambda: quantize(graph, calibration, ATOM),
    }
    outputs, rates = {}, {}
    for index, (name, make) in enumerate(ways.items()):
        path = tmp_path / f"{index}.onnx"
        onnx.save(make(), path)
        batches = test.batches(SHAPE[0])
        places = [capped_isa.target_place(ATOM), capped_isa.host_place(ATOM, saturating=False)]
        outputs[name] = [found.values for found in run(path, batches, len(test), SHAPE, places)]
        rates[name] = predict(path, ATOM, "fp32" if name == "FP32" else "int8", SHAPE[0]).inferences_per_s
    original = outputs["FP32"][0]
    lines = [f"\n{'':24}  Atom %  unsaturated %  drop  same class %  rms to FP32  regions/s"]
    drops = {}
    for name, (target, cloud) in outputs.items():
        right = [100 * float((classes(values) == test.labels).mean()) for values in (original, target, cloud)]
        drops[name] = round(right[0] - right[1], 6)
        same = 100 * float((classes(target) == classes(original)).mean())
        rms = float(np.sqrt(np.square(target - original).mean()))
        lines.append(
            f"{name:24}  {right[1]:6.2f}  {right[2]:13.2f}  {drops[name]:4.2f}  {same:12.2f}  {rms:11.4f}  "
            f"{rates[name]:9.1f}"
        )
    with capsys.disabled():
        print("\n".join(lines))
    ours = "edgeproof, for the Atom"
    assert drops[ours] <= 0.4
    assert rates[ours] >= 0.99 * rates["NNCF, ENABLE"]
    assert drops[ours] <= min(drops[name] for name in drops if name.startswith(("NNCF", "ONNX")))
