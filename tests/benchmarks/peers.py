"""INT8 of one FP32 model by us and by the tools that users would otherwise take, all calibrated on the same samples."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.stats import binomtest

from pipeline.arithmetic.kinds import capped_isa
from pipeline.compress.calibration import quantize
from pipeline.predict import predict
from pipeline.processes.samples import Samples
from pipeline.processes.side_by_side import run
from pipeline.records.targets import Target
from pipeline.retest.score import classes
from runners.contract.engine_recipe import INPUT

OURS = "edgeproof, for the Atom"
PEERS = ("NNCF, DISABLE", "NNCF, FIRST_LAYER", "NNCF, ENABLE", "ONNX Runtime, static")
BATCH = 4

Made = dict[str, Callable[[], onnx.ModelProto]]


@dataclass(frozen=True)
class Row:
    """What became of the FP32 model: accuracy in per cent on the target and where sums do not saturate."""

    right: NDArray[np.bool_]  # of each sample, on the target
    target_percent: float
    unsaturated_percent: float
    drop_points: float
    same_class_percent: float
    rms_to_fp32: float
    regions_per_s: float

    def chance_worse_than(self, other: "Row") -> float:
        """How often luck alone would make this row lose to `other` by as many samples as it does (exact sign test).

        Only the samples that one of the two gets right and the other wrong can tell them apart.
        """
        lost, won = int((other.right & ~self.right).sum()), int((self.right & ~other.right).sum())
        return float(binomtest(lost, lost + won, alternative="greater").pvalue) if lost + won else 1.0


def compare(made: Made, test: Samples, labels: NDArray[np.int64], target: Target, folder: Path) -> dict[str, Row]:
    """Each model in the target's arithmetic on the `test` samples, against the first one, which is FP32."""
    rows: dict[str, Row] = {}
    original = None
    for index, (name, make) in enumerate(made.items()):
        path = folder / f"{index}.onnx"
        onnx.save(make(), path)
        shape = (BATCH, *next(test.batches(1)).shape[1:])
        places = [capped_isa.target_place(target), capped_isa.host_place(target, saturating=False)]
        outputs = [found.values for found in run(path, test.batches(BATCH), len(test), shape, places)]
        original = outputs[0] if original is None else original
        right = [100 * float((classes(values) == labels).mean()) for values in (original, *outputs)]
        rows[name] = Row(
            right=classes(outputs[0]) == labels,
            target_percent=right[1],
            unsaturated_percent=right[2],
            drop_points=round(right[0] - right[1], 6),
            same_class_percent=100 * float((classes(outputs[0]) == classes(original)).mean()),
            rms_to_fp32=float(np.sqrt(np.square(outputs[0] - original).mean())),
            regions_per_s=predict(path, target, "int8" if rows else "fp32", BATCH).inferences_per_s,
        )
    return rows


def table(rows: dict[str, Row]) -> str:
    """The rows as people read them."""
    width = max(len(name) for name in rows)
    lines = [f"\n{'':{width}}  Atom %  unsaturated %   drop  same class %  rms to FP32  regions/s"]
    for name, row in rows.items():
        lines.append(
            f"{name:{width}}  {row.target_percent:6.2f}  {row.unsaturated_percent:13.2f}  {row.drop_points:5.2f}  "
            f"{row.same_class_percent:12.2f}  {row.rms_to_fp32:11.4f}  {row.regions_per_s:9.1f}"
        )
    return "\n".join(lines)


def int8_of_all(graph: onnx.ModelProto, samples: Samples, target: Target, folder: Path) -> Made:
    """What makes the model of each row, by the row's name; the original comes first."""
    return {
        "FP32": lambda: graph,
        "NNCF, DISABLE": lambda: by_nncf(graph, samples, nncf.OverflowFix.DISABLE),
        "NNCF, FIRST_LAYER": lambda: by_nncf(graph, samples, nncf.OverflowFix.FIRST_LAYER),
        "NNCF, ENABLE": lambda: by_nncf(graph, samples, nncf.OverflowFix.ENABLE),
        "ONNX Runtime, static": lambda: by_onnxruntime(graph, samples, folder),
        "edgeproof, no target": lambda: quantize(graph, samples, None),
        OURS: lambda: quantize(graph, samples, target),
    }


def by_nncf(graph: onnx.ModelProto, samples: Samples, fix: nncf.OverflowFix) -> onnx.ModelProto:
    data = nncf.Dataset(list(samples.batches(1)), lambda value: {INPUT: value})
    settings = nncf.AdvancedQuantizationParameters(overflow_fix=fix)
    preset = nncf.QuantizationPreset.MIXED
    made: onnx.ModelProto = nncf.quantize(
        graph, data, preset=preset, subset_size=len(samples), advanced_parameters=settings
    )
    return made


def by_onnxruntime(graph: onnx.ModelProto, samples: Samples, folder: Path) -> onnx.ModelProto:
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
