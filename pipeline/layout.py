"""Where things lie, from stage to stage. All of it below the repository's folder; `artifacts/` is DVC's."""

from pathlib import Path

DATA = Path("data")
ARTIFACTS = Path("artifacts")
DATASET = ARTIFACTS / "dataset"
RESULTS = ARTIFACTS / "results"
REPORT = ARTIFACTS / "report"
METRICS = ARTIFACTS / "metrics.json"
SEARCH = ARTIFACTS / "search"
TRIAL = "trial."  # a search's trials by name: the dot can be in no method's


def parent(model: str) -> Path:
    """The trained FP32 network."""
    return ARTIFACTS / "train" / model


def parent_logits(model: str) -> Path:
    """The FP32 parent's answers on the test split, (N, classes) float32."""
    return parent(model) / "test_logits.npy"


def candidate(model: str, method: str) -> Path:
    """The compressed network as ONNX."""
    return _of_method(method) / "candidates" / model / method


def exported(model: str, method: str) -> Path:
    """The hardware-ready files."""
    return _of_method(method) / "export" / model / method


def result(model: str, method: str, target: str) -> Path:
    """The re-test's record."""
    return RESULTS / model / method / f"{target}.json"


def search(target: str) -> Path:
    """The report of a search, and one record a trial."""
    return SEARCH / target


def trial_record(target: str, trial: str) -> Path:
    """What a search's trial came to."""
    return search(target) / "trials" / f"{trial}.json"


def answers(model: str, split: str, key: str) -> Path:
    """The FP32 parent's answers on another split than the test's, kept by a hash of what they depend on."""
    return SEARCH / "parents" / f"{model}-{split}-{key}.npy"


def checkpoint(*names: str) -> Path:
    """Where a training keeps its last epoch; not a stage output, so that a kill loses nothing."""
    return ARTIFACTS / "checkpoints" / f"{'-'.join(names)}.pt"


def _of_method(method: str) -> Path:
    """Trials lie apart from the outputs of DVC's stages."""
    return SEARCH if method.startswith(TRIAL) else ARTIFACTS
