"""Where things lie, from stage to stage. All of it below the repository's folder; `artifacts/` is DVC's."""

from pathlib import Path

DATA = Path("data")
ARTIFACTS = Path("artifacts")
DATASET = ARTIFACTS / "dataset"
RESULTS = ARTIFACTS / "results"
REPORT = ARTIFACTS / "report"
METRICS = ARTIFACTS / "metrics.json"


def parent(model: str) -> Path:
    """The trained FP32 network."""
    return ARTIFACTS / "train" / model


def parent_logits(model: str) -> Path:
    """The FP32 parent's answers on the test split, (N, classes) float32."""
    return parent(model) / "test_logits.npy"


def candidate(model: str, method: str) -> Path:
    """The compressed network as ONNX."""
    return ARTIFACTS / "candidates" / model / method


def exported(model: str, method: str) -> Path:
    """The hardware-ready files."""
    return ARTIFACTS / "export" / model / method


def result(model: str, method: str, target: str) -> Path:
    """The re-test's record."""
    return RESULTS / model / method / f"{target}.json"


def checkpoint(*names: str) -> Path:
    """Where a training keeps its last epoch; not a stage output, so that a kill loses nothing."""
    return ARTIFACTS / "checkpoints" / f"{'-'.join(names)}.pt"
