"""edgeproof stage: the stages that `dvc repro` runs, each of which can be called alone."""

import sys
from typing import Any

import click

from pipeline.cli.counts import print_counts, print_fp32_layers
from pipeline.cli.group import Group


@click.group(cls=Group)
@click.pass_context
def stage(context: click.Context) -> None:
    """Run one stage of the pipeline, as `dvc repro` does. Of two in the same folder the second one waits."""
    from pipeline.project import layout
    from pipeline.system.owner import end_with_starter, one_at_a_time

    end_with_starter()
    context.with_resource(one_at_a_time(layout.ARTIFACTS / "stage.lock"))


@stage.command()
def dataset() -> None:
    """Cut the labelled regions out of data/ and split them."""
    from pipeline.data import cutting
    from pipeline.project import layout
    from pipeline.project.params import load_params

    print_counts(*cutting.build(layout.DATA, layout.DATASET, load_params().split))


@stage.command()
@click.argument("method")
def resolve(method: str) -> None:
    """Write the recipe of METHOD with the facts of the targets that it names."""
    from pipeline.project.params import load_params
    from pipeline.stages.resolve import resolve

    load_params().recipe(method)  # names what is wrong with it
    resolve(method)


@stage.command()
@click.argument("model")
def train(model: str) -> None:
    """Fine-tune the FP32 parent of MODEL. Continues after a kill from the last epoch."""
    import models
    from pipeline.project.params import load_params

    models.spec(model)
    params, training_set = load_params(), _dataset()

    # Last, since PyTorch takes seconds to load: what is wrong with the input is said before.
    from pipeline.stages.train import train
    from pipeline.train.processes import on_all_gpus

    if (code := on_all_gpus(["stage", "train", model])) is not None:
        sys.exit(code)
    metrics = train(model, params, training_set)
    if metrics:
        click.echo(
            f"{model}: {metrics['test_accuracy_percent']:.1f} % on the test split after {metrics['epochs']} epochs "
            f"(always answering the commonest class: {metrics['majority_class_percent']:.1f} %)"
        )


@stage.command()
@click.argument("model")
@click.argument("method")
def compress(model: str, method: str) -> None:
    """Make the candidate MODEL x METHOD from the trained parent, by the recipe in params.yaml."""
    from pipeline.project.candidate import candidate
    from pipeline.project.params import load_params

    params = load_params()
    made, training_set = candidate(model, method, params), _dataset()

    # Last, as in `train`.
    from pipeline.stages.compress import compress

    facts = compress(made, params, training_set)
    click.echo(f"{model}/{method}: {facts['precision']}, {facts['parameters'] / 1e6:.2f} M parameters")
    print_fp32_layers(facts["fp32_layers"])


@stage.command()
@click.argument("model")
@click.argument("method")
def export(model: str, method: str) -> None:
    """Write the files that devices load: OpenVINO IR, TensorRT recipe."""
    from pipeline.project.candidate import candidate
    from pipeline.project.params import load_params
    from pipeline.stages.export import export

    manifest = export(candidate(model, method, load_params()))
    for name, facts in manifest["files"].items():
        click.echo(f"{name}  {facts['size_bytes'] / 1e6:.2f} MB")
    for runtime, sentences in manifest["unread"].items():
        click.echo(
            f"warning: {runtime}/ is of no use: {'; '.join(sentences)}; build the model of other operators, as "
            "`edgeproof convert` writes them, or take targets with that runtime out of params.yaml",
            err=True,
        )


@stage.command()
@click.argument("model")
@click.argument("method")
@click.argument("target")
def retest(model: str, method: str, target: str) -> None:
    """Run MODEL x METHOD as TARGET would and measure it on the test split."""
    from pipeline.project import layout
    from pipeline.project.candidate import candidate
    from pipeline.project.params import load_params
    from pipeline.records.targets import load_target
    from pipeline.stages.retest import retest

    params = load_params()
    made, profile = candidate(model, method, params), load_target(target)
    result = retest(made, profile, _dataset(), audited=params.audit_samples)
    result.write(layout.result(result.lane, model, method, target))
    if result.refused:
        click.echo(result.refused)
        return
    accuracy = result.accuracy.model_dump(exclude_none=True)
    shown = [f"{name} {100 * item['correct'] / item['n']:.2f} %" for name, item in accuracy.items()]
    click.echo(f"{result.candidate} on {target}: {', '.join(shown) or result.not_measured['accuracy.target']}")


@stage.command()
def report() -> None:
    """Judge all results and draw the report (HTML and Markdown)."""
    from pipeline.project.params import load_params
    from pipeline.report import write_report

    page = write_report(load_params())
    click.echo(f"report: {page}")


def _dataset() -> Any:
    from pipeline.data import dataset
    from pipeline.project import layout

    return dataset.open_dataset(layout.DATASET)


COMMANDS = [stage]
