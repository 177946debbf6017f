"""Small vision networks for edge boards: `names()`, `spec(name)`, `build(name, num_classes)`."""

from models.registry import ModelSpec, build, names, spec

__all__ = ["ModelSpec", "build", "names", "spec"]
