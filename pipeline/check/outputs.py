"""Which of a network's outputs is judged."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.formats.contents import Tensor
from pipeline.formats.model_file import ModelFile, single_width
from pipeline.system.errors import BadModel, Refused, unknown

Labels = NDArray[np.int64]
NO_NUMBERS = ("complex64", "complex128", "string", "undefined")  # the last: sequences and maps


def choose(
    model: ModelFile, labels: Labels | None, names: Sequence[str] = (), option: str = "--output"
) -> tuple[Tensor, ...]:
    """The outputs that are judged: those called `names`, or the only one, or the one that fits the labels.

    Labels (N,) are fitted by one class score that ends in an operator of `ENDINGS`, or whose width is the number of
    classes; labels (N, heads) by as many class scores; labels (N, H, W) by one map. Without labels, the one that ends
    in such an operator is taken.

    Raises:
        InputError: there is no output of that name, or several may be meant; `option` is what the user is to give.
    """
    outputs = {output.name: output for output in model.outputs if output.type not in NO_NUMBERS}
    for name in names:
        if name not in outputs:
            raise unknown("output", name, list(outputs))
    if not outputs:
        name = model.outputs[0].name
        raise Refused(f"{model.path}: answers no numbers ({name!r} is no tensor of them); export it with its scores")
    if names:
        return tuple(outputs[name] for name in dict.fromkeys(names))
    kept = tuple(outputs.values())
    if len(kept) == 1:
        return kept
    found = _fitting(kept, labels)
    if not found:
        listed = ", ".join(f"{output.name!r} {_shape(output)}" for output in kept)
        raise Refused(f"{model.path}: has {len(kept)} outputs, {listed}; say which is judged with {option} NAME")
    return found


def classes_of(outputs: Sequence[Tensor], task: str | None) -> int | None:
    """How many classes labels may have for these outputs, None where the file does not say.

    One score tells two classes apart, and numbers that are values have nothing to do with labels.
    """
    if task == "values" or len(outputs) > 1:
        return None
    [output] = outputs
    if output.ending == "ArgMax":
        return None
    wide = single_width(output.shape)
    return 2 if task == "tags" or (wide == 1 and output.ending == "Sigmoid") else None if wide == 1 else wide


def matching(model: ModelFile, outputs: Sequence[Tensor], reference: ModelFile) -> list[str]:
    """The names of a reference's outputs that stand for those of a model: of the same name, else of the same place.

    Raises:
        InputError: there are none.
    """
    known = [output.name for output in reference.outputs]
    if all(output.name in known for output in outputs):
        return [output.name for output in outputs]
    if len(known) == len(model.outputs):
        return [known[model.outputs.index(output)] for output in outputs]
    name = next(output.name for output in outputs if output.name not in known)
    raise BadModel(f"{reference.path}: has no output {name!r}; it has {', '.join(map(repr, known))}")


def _fitting(outputs: Sequence[Tensor], labels: Labels | None) -> tuple[Tensor, ...]:
    """The outputs that labels are for, where nothing else may be meant; else none."""
    if labels is None:
        return _only([output for output in outputs if output.ending in ("ArgMax", "LogSoftmax", "Softmax")])
    classes = int(labels.max(initial=0)) + 1
    if labels.ndim == 3:
        return _only([output for output in outputs if _dimensions(output) == 4])
    if labels.ndim == 2 and labels.shape[1] > 1:
        heads = [output for output in outputs if (single_width(output.shape) or 0) >= max(classes, 2)]
        rows = [output for output in outputs if output.shape and output.shape[1:2] == labels.shape[1:]]
        return tuple(heads) if len(heads) == labels.shape[1] and not _only(rows) else _only(rows)
    wide = [output for output in outputs if (single_width(output.shape) or classes) >= classes and _scores(output)]
    told = [output for output in wide if output.ending]
    exact = [output for output in wide if single_width(output.shape) == classes and classes > 1]
    pool = told or wide
    # What the graph says and what the number of classes says must not contradict each other.
    return () if any(output not in pool for output in exact) else _only(exact or pool)


def _scores(output: Tensor) -> bool:
    """Whether it may have one value a class; where its width is open, only if it ends as such an output does."""
    wide = single_width(output.shape)
    if wide is None:
        return output.ending != "" and sum(side != 1 for side in (output.shape or ())[1:]) < 2
    return wide > 1 or output.ending in ("ArgMax", "Sigmoid")


def _only(outputs: list[Tensor]) -> tuple[Tensor, ...]:
    return tuple(outputs) if len(outputs) == 1 else ()


def _dimensions(output: Tensor) -> int | None:
    return None if output.shape is None else len(output.shape)


def _shape(output: Tensor) -> str:
    sizes = ", ".join("N" if size is None else str(size) for size in output.shape or ())
    return f"({sizes})" + (f" from {output.ending}" if output.ending else "")
