"""A try of the first samples, so that what cannot be judged is told before anything long is done."""

from collections.abc import Sequence

from pipeline.check.answered import answered, asked
from pipeline.check.task import Name, find, labels_of
from pipeline.data.own import LabelledSamples
from pipeline.formats.contents import Tensor
from pipeline.formats.model_file import ModelFile


def try_out(model: ModelFile, samples: LabelledSamples, outputs: Sequence[Tensor], task: Name | None) -> None:
    """Answer the first of `samples` with `outputs` of a model, which may show their size only then.

    Raises:
        Failed: this machine's runtime does not take the model.
        InputError: labels or `task` do not fit what it answers.
    """
    shape = (model.batch or 1, *model.sample_shape)
    batch = next(iter(samples.batches(shape[0])))
    names = asked(model, [output.name for output in outputs])
    answers = answered(model, [batch], len(batch), shape, names, "first samples")
    find(outputs, answers.shape[1:], labels_of(samples, task), task, classifier=model.wanted is not None)
