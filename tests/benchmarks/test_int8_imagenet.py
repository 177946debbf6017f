"""INT8 of EfficientNet-Lite0 with ImageNet weights under the Atom's arithmetic: ours beside NNCF and ONNX Runtime.

Calibrated on half of the images and tested on the rest. The images are not part of the project: IMAGENET names a
folder with a manifest.csv (`file,class_index`), by default ../shared/data/imagenet500.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import models
from pipeline.data.own import Preprocessing, open_samples
from pipeline.formats.from_torch import to_onnx
from pipeline.records.targets import load_target
from tests.benchmarks.peers import OURS, PEERS, compare, int8_of_all, table

ATOM = load_target("atom-x5-e3940")
SHAPE = (4, 3, 224, 224)
IMAGENET = Path(os.environ.get("IMAGENET", "../shared/data/imagenet500"))


class Half:
    """Every second image, beginning with the first or the second."""

    def __init__(self, first: int) -> None:
        whole = open_samples(IMAGENET, shape=SHAPE[1:], classes=1000, preprocessing=Preprocessing.chosen("tensorflow"))
        assert whole.labels is not None
        self.labels = whole.labels[first::2]
        self._inputs = np.concatenate(list(whole.batches(50)))[first::2]

    def __len__(self) -> int:
        return len(self._inputs)

    def batches(self, size: int) -> Iterator[np.ndarray]:
        return (self._inputs[start : start + size] for start in range(0, len(self._inputs), size))


@pytest.mark.filterwarnings("ignore")
def test_int8_on_imagenet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not IMAGENET.exists():
        pytest.skip(
            f"{IMAGENET} not found: ImageNet may not be passed on; set IMAGENET to your own, with a manifest.csv"
        )
    calibration, test = Half(0), Half(1)
    graph = to_onnx(models.build("efficientnet-lite0", 1000), models.spec("efficientnet-lite0"))
    rows = compare(int8_of_all(graph, calibration, ATOM, tmp_path), test, test.labels, ATOM, tmp_path)
    with capsys.disabled():
        print(table(rows))
    ours = rows[OURS]
    assert ours.drop_points <= 0.4
    assert ours.regions_per_s >= 0.99 * rows["NNCF, ENABLE"].regions_per_s
    assert ours.drop_points <= min(row.drop_points for name, row in rows.items() if name in PEERS)
