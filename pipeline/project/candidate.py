"""A candidate: one model made by one recipe, and where its files lie."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.project import layout
from pipeline.records.targets import Precision, RuntimeName

if TYPE_CHECKING:
    from pipeline.compress.recipe import Recipe
    from pipeline.project.params import Params

FACTS = "candidate.json"  # beside the compressed network: what is known of it
# What a runtime loads, in the folder of its files.
MODELS: dict[RuntimeName, str] = {"openvino": "model.xml", "tensorrt": "model.onnx", "onnxruntime": "model.onnx"}


@dataclass(frozen=True)
class Candidate:
    """A model x method of params.yaml, or a search's trial; `folder` is what its own folders are in."""

    model: str
    method: str
    recipe: "Recipe"
    folder: Path = layout.ARTIFACTS

    @property
    def precision(self) -> Precision:
        """What it is calculated in."""
        return self.recipe.precision

    @property
    def compressed(self) -> Path:
        """The folder of the compressed network as ONNX, with candidate.json."""
        return self.folder / "candidates" / self.model / self.method

    @property
    def graph(self) -> Path:
        """The compressed network."""
        return self.compressed / "model.onnx"

    @property
    def exported(self) -> Path:
        """The folder of the hardware-ready files."""
        return self.folder / "export" / self.model / self.method

    def loaded_by(self, runtime: RuntimeName) -> Path:
        """The file that a runtime loads on a device."""
        return self.exported / runtime / MODELS[runtime]

    def download(self, runtime: RuntimeName) -> Path:
        """The same with all it needs as one small download."""
        return self.exported / f"{runtime}.tar.xz"


def weights_of(file: Path) -> Path:
    """What a record's `model_sha256` is of: the file that a runtime loads, or of an IR the one with its weights."""
    return file.with_suffix(".bin") if file.suffix == ".xml" else file


def candidate(model: str, method: str, params: "Params") -> Candidate:
    """The candidate of a model and a method of params.yaml.

    Raises:
        InputError: there is no such method.
    """
    return Candidate(model, method, params.recipe(method))
