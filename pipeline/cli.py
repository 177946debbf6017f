"""The command `edgeproof`: parse, call, print. Exit codes: 0 pass, 1 fail, 2 bad input, 3 not measured."""

import errno
import json
import sys
from pathlib import Path
from typing import Any

import click

from pipeline.errors import InputError
from pipeline.options import SIZE, image_options

MENDABLE = {
    errno.ENOSPC: "no space left on the disk; free some and run it again",
    errno.EDQUOT: "the disk quota is used up; free some space and run it again",
    errno.EFBIG: "the file would grow over the size limit; raise it (`ulimit -f`) and run it again",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
}


class Group(click.Group):
    """Turns what a user can mend into one line and exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command; exit 2 with one line for bad input, a full disk or a missing permission."""
        try:
            return super().invoke(context)
        except InputError as error:
            _stop(str(error))
        except OSError as error:
            # NumPy reports a short write without an error number.
            code = errno.ENOSPC if "requested and" in str(error) else error.errno
            if code not in MENDABLE:
                raise
            _stop(f"{error.filename or 'writing'}: {MENDABLE[code]}")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """A model that passes here passes on the device.

    The pipeline runs as DVC stages: `dvc repro` calls the commands dataset, train, compress, export, retest and
    report in order and repeats only what changed. Each can also be called alone. Settings are in params.yaml,
    devices in runners/targets/.

    Exit codes: 0 pass, 1 fail, 2 bad input, 3 not measured.
    """


@cli.group(cls=Group)
def data() -> None:
    """Get data: the default clip, or your own images."""


@data.command("fetch")
def data_fetch() -> None:
    """Make data/ hold what data.dvc names: from the DVC remote, or else the public default clip."""
    from pipeline import fetch, layout

    origin = fetch.fetch(layout.DATA)
    click.echo(f"data/: {origin}")


@data.command("import")
@click.argument("source", type=click.Path(path_type=Path))
def data_import(source: Path) -> None:
    """Replace data/ by your own images.

    SOURCE is a folder with one folder per class (train/, val/ and test/ above them are optional), or a manifest CSV
    (or a folder with a manifest.csv) with the columns file,class and optionally split. Files that are no images are
    left out and listed in data/quarantine.csv.
    """
    from pipeline import dataset, fetch, layout

    samples, quarantined = dataset.import_data(source, layout.DATA)
    fetch.track(layout.DATA, new=True)
    _print_counts(samples, quarantined)


@data.command("sheets")
@click.argument("out", type=click.Path(path_type=Path), default="artifacts/sheets")
def data_sheets(out: Path) -> None:
    """Draw contact sheets of the clip's tracked regions, for labelling by eye."""
    from pipeline import fetch, layout, sheets

    count = sheets.make_sheets(layout.DATA / fetch.CLIP_NAME, out)
    click.echo(f"{count} sheets in {out}/")


@cli.command()
def dataset() -> None:
    """Stage: cut the labelled regions out of data/ and split them."""
    from pipeline import dataset, layout
    from pipeline.config import load_params

    _print_counts(*dataset.build(layout.DATA, layout.DATASET, load_params().split))


@cli.command()
@click.argument("model")
def train(model: str) -> None:
    """Stage: fine-tune the FP32 parent of MODEL. Continues after a kill from the last epoch."""
    from pipeline import train
    from pipeline.config import load_params

    params = load_params()
    training_set = _dataset()
    if (code := train.on_all_gpus(["train", model])) is not None:
        sys.exit(code)
    metrics = train.train(model, params, training_set)
    if metrics:
        click.echo(
            f"{model}: {metrics['test_accuracy_percent']:.1f} % on the test split after {metrics['epochs']} epochs "
            f"(always answering the commonest class: {metrics['majority_class_percent']:.1f} %)"
        )


@cli.command()
@click.argument("model")
@click.argument("recipe", required=False)
@click.option("--method", type=click.Choice(["int8", "fp16"]), help="Compress the ONNX file MODEL by this.")
@click.option("--target", help="The device it is for; `edgeproof targets` lists them.")
@click.option("--calibration", type=click.Path(path_type=Path), help="Manifest CSV, folder of images or .npz.")
@click.option("--data", type=click.Path(path_type=Path), help="What to check the outcome on; else the calibration's.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder to write, replaced if it is there.")
@click.option("--limit", type=click.IntRange(1), default=300, show_default=True, help="Samples to calibrate on.")
@image_options
def compress(
    model: str,
    recipe: str | None,
    method: Any,
    target: str | None,
    calibration: Path | None,
    data: Path | None,
    output: Path | None,
    limit: int,
    **images: Any,
) -> None:
    """Stage: make the candidate MODEL x RECIPE from the trained parent. Or compress anyone's ONNX file.

    \b
    edgeproof compress efficientnet-lite0 pruned-int8
    edgeproof compress fp32.onnx --method int8 --target atom-x5-e3940 --calibration photos/ --output int8/

    The latter needs no pipeline. It writes model.onnx (and an OpenVINO IR, where the target takes one) with weights
    that survive the target's arithmetic, then says what `edgeproof check` says of it; the exit code is the verdict's.
    """
    if method is None:
        from pipeline.compress import compress
        from pipeline.config import load_params

        if recipe is None:
            raise InputError("name the recipe, or give --method to compress an ONNX file")
        facts = compress(model, recipe, load_params(), _dataset())
        click.echo(f"{model}/{recipe}: {facts['precision']}, {facts['parameters'] / 1e6:.2f} M parameters")
        _say_what_is_fp32(facts["fp32_layers"])
        return
    if recipe is not None or target is None or calibration is None or output is None:
        raise InputError("--method goes with one ONNX file, --target, --calibration and --output")
    from pipeline.check import check, model_file, terminal
    from pipeline.check.onnx_file import load_onnx
    from pipeline.compress import half_precision
    from pipeline.compress.any_model import compress_file
    from pipeline.gates import EXIT_CODES
    from pipeline.targets import load_target

    profile, original = load_target(target), model_file.open_model(Path(model))
    samples = _samples(calibration, original, None, limit, **images)
    made = model_file.open_model(compress_file(original, method, profile, samples, output))
    _say_what_is_fp32(half_precision.fp32_layers(load_onnx(made.path)))
    judged_on = samples if data is None else _samples(data, original, None, None, **images)
    report = check.check(made, profile, judged_on, reference=original)
    click.echo(terminal.render(report, profile))
    sys.exit(EXIT_CODES[report.verdict])


@cli.command()
@click.argument("model")
@click.argument("method")
def export(model: str, method: str) -> None:
    """Stage: write the files that devices load: OpenVINO IR, TensorRT recipe."""
    from pipeline.config import load_params
    from pipeline.export import export

    manifest = export(model, method, load_params().recipe(method).precision)
    for name, facts in manifest["files"].items():
        click.echo(f"{name}  {facts['size_bytes'] / 1e6:.2f} MB")


@cli.command()
@click.argument("model")
@click.argument("method")
@click.argument("target")
def retest(model: str, method: str, target: str) -> None:
    """Stage: run MODEL x METHOD as TARGET would and measure it on the test split."""
    from pipeline import layout
    from pipeline.config import load_params
    from pipeline.retest.stage import retest

    result = retest(model, method, target, load_params(), _dataset())
    result.write(layout.result(model, method, target))
    if result.refused:
        click.echo(result.refused)
        return
    accuracy = result.accuracy.model_dump(exclude_none=True)
    shown = [f"{name} {100 * item['correct'] / item['n']:.2f} %" for name, item in accuracy.items()]
    click.echo(f"{result.candidate} on {target}: {', '.join(shown) or result.not_measured['accuracy.target']}")


@cli.command()
def report() -> None:
    """Stage: judge all results and draw the report (HTML and Markdown)."""
    from pipeline.report import write_report

    page = write_report()
    click.echo(f"report: {page}")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
def gate(as_json: bool) -> None:
    """Print every candidate's verdict; the exit code is that of the worst target.

    A target passes when one of its candidates keeps every limit.
    """
    from pipeline import gates
    from pipeline.report import summary

    verdicts, table, record = summary()
    click.echo(json.dumps(record, indent=2) if as_json else table)
    sys.exit(gates.EXIT_CODES[gates.worst(verdicts.values())])


@cli.command()
@click.option("--base", help="Plan only what the change since this commit needs.")
def plan(base: str | None) -> None:
    """Print the jobs to run, as JSON matrices for GitHub Actions."""
    from pipeline.plan import plan

    click.echo(plan(base).as_json())


@cli.command()
@click.option("--target", required=True, help="The device; `edgeproof targets` lists them.")
@click.option("--trials", type=click.IntRange(1), default=12, show_default=True, help="Recipes to begin with.")
@click.option("--plan", is_flag=True, help="Only print the trials to evaluate now, as a JSON matrix.")
@click.option("--trial", metavar="ID", help="Only evaluate this one of them.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the outcome here.")
def search(target: str, trials: int, plan: bool, trial: str | None, json_file: Path | None) -> None:
    """Find the candidate that keeps the gates of a target best, over all models of params.yaml.

    Varies pruning, re-training, quantization and weight sharing: many recipes without re-training first, the best
    third with a short one, the best third of those in full. It uses all cores, and goes on where it was stopped.
    Trials are chosen by the validation split; the exit code is the winner's verdict on the test split.
    """
    from pipeline import files
    from pipeline.gates import EXIT_CODES
    from pipeline.search import run

    if json_file and (plan or trial):
        raise InputError("--json goes with a whole search")
    if plan:
        click.echo(json.dumps(run.pending(target, trials), separators=(",", ":")))
        return
    if trial:
        record = run.evaluate(target, trials, trial)
        click.echo(f"{trial}: {record.failed or 'evaluated'}")
        return
    from pipeline.search import report

    if json_file:
        files.check_writable(json_file)
    outcome = run.search(target, trials)
    if json_file:
        files.write_json(json_file, report.as_json(outcome))
    click.echo(report.text(outcome))
    click.echo(f"report: {report.path(outcome)}")
    sys.exit(EXIT_CODES[report.verdict(outcome)])


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", required=True, help="The device; `edgeproof targets` lists them.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "int8"]), default="fp32", show_default=True)
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images per inference.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all, with per-layer times, here.")
def predict(model: Path, target: str, precision: Any, batch: int, json_file: Path | None) -> None:
    """Predict the speed of MODEL (ONNX or OpenVINO IR) on a device, from published measurements of others."""
    from pipeline import files
    from pipeline.predict import predict
    from pipeline.targets import load_target

    if json_file:
        files.check_writable(json_file)
    profile = load_target(target)
    found = predict(model, profile, precision, batch)
    if json_file:
        files.write_json(json_file, found.model_dump(mode="json"))
    click.echo(
        f"{model} on {target}, {precision}, batch {batch}: {found.inferences_per_s:.0f} regions/s (predicted, "
        f"+-{found.error_percent:.0f} %), {found.frames_per_s:.1f} frames/s of {profile.objective.regions_per_frame} "
        f"regions, {found.latency_ms:.1f} ms"
    )
    if found.power_w is not None:
        click.echo(f"{found.power_w:.1f} W ({found.power_basis})")
    for note in found.notes:
        click.echo(f"note: {note}")


@cli.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", required=True, help="The device; `edgeproof targets` lists them.")
@click.option("--data", type=click.Path(path_type=Path), help="Manifest CSV, folder of images or .npz; else noise.")
@click.option("--labels", type=click.Path(path_type=Path), help="Class names or indices, where --data has none.")
@click.option("--reference", type=click.Path(path_type=Path), help="The FP32 original.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "int8"]), help="By default what the file holds.")
@click.option("--size", type=SIZE, help="Input size, S or HxW, of a model that leaves it open.")
@image_options
@click.option("--layout", type=click.Choice(["nchw", "nhwc"]), help="Of the input, where its shape does not tell.")
@click.option("--limit", type=click.IntRange(1), help="Take this many samples, spread evenly.")
@click.option("--max-drop", type=click.FloatRange(0), default=1.0, show_default=True, help="Points it may lose.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the record here.")
def check(
    model: Path,
    target: str,
    data: Path | None,
    labels: Path | None,
    reference: Path | None,
    precision: Any,
    size: Any,
    preset: Any,
    mean: Any,
    std: Any,
    resize: Any,
    layout: Any,
    limit: int | None,
    max_drop: float,
    json_file: Path | None,
) -> None:
    """Will MODEL, any ONNX file or OpenVINO IR, do on a device what it does here?

    Runs it on this machine and in the target's own arithmetic over the same samples, says what it loses there and in
    which layers, and predicts its speed. With --data and labels the accuracy counts; with --data or noise and
    --reference, how often the answer stays that of the FP32 original; with nothing, how far the outputs differ.

    \b
    edgeproof check int8.onnx --target atom-x5-e3940 --data imagenet/manifest.csv --reference fp32.onnx
    edgeproof check model.xml --target atom-x5-e3940 --data samples.npz --json check.json
    """
    from pipeline import files
    from pipeline.check import check, inputs, model_file, terminal
    from pipeline.gates import EXIT_CODES
    from pipeline.targets import load_target

    if json_file:
        files.check_writable(json_file)
    profile = load_target(target)
    opened = model_file.open_model(model, size=size, layout=layout)
    original = model_file.open_model(reference, size=size, layout=layout) if reference else None
    if data is None:
        samples: inputs.Samples = inputs.random_samples(opened.sample_shape, limit or check.RANDOM_SAMPLES)
    else:
        samples = _samples(data, opened, labels, limit, preset, mean, std, resize)
    report = check.check(
        opened,
        profile,
        samples,
        precision=precision,
        reference=original,
        random=data is None,
        max_drop_points=max_drop,
    )
    if json_file:
        files.write_json(json_file, report.model_dump(mode="json"))
    click.echo(terminal.render(report, profile))
    sys.exit(EXIT_CODES[report.verdict])


@cli.command()
def models() -> None:
    """List the architectures."""
    import models

    for name in models.names():
        click.echo(f"{name:20} {models.spec(name).description}")


@cli.group(cls=Group, invoke_without_command=True)
@click.pass_context
def targets(context: click.Context) -> None:
    """List the devices, or explain one."""
    from pipeline.targets import load_target, target_names

    if context.invoked_subcommand is None:
        for name in target_names():
            click.echo(f"{name:20} {load_target(name).description}")


@targets.command("show")
@click.argument("name")
def targets_show(name: str) -> None:
    """Explain the target NAME: what it is, what is asked of it, how it is emulated, and the source of every fact."""
    from pipeline.profile import explain
    from pipeline.targets import load_target

    click.echo(explain(load_target(name)))


@cli.group(cls=Group, invoke_without_command=True)
@click.pass_context
def emulators(context: click.Context) -> None:
    """List the CPU emulators that audits run on, or install them."""
    from pipeline import emulators

    if context.invoked_subcommand is None:
        for name in emulators.names():
            click.echo(f"{name:20} {_emulator_state(name)}: {emulators.purpose(name)}")


@emulators.command("install")
@click.argument("names", metavar="[NAME]...", nargs=-1)
def emulators_install(names: tuple[str, ...]) -> None:
    """Fetch what the emulators NAME (without one: all) need, from Debian's packages and pip's index, without root.

    They go into the cache: EDGEPROOF_CACHE, else ~/.cache/edgeproof. What is there already is left as it is.
    """
    from pipeline import emulators

    chosen = names or emulators.names()
    for name in chosen:
        emulators.purpose(name)  # refuses unknown names before anything is fetched
    for name in chosen:
        emulators.install(name)
        click.echo(f"{name:20} {_emulator_state(name)}")


def main() -> None:
    """Entry point."""
    cli(prog_name="edgeproof")


def _samples(
    source: Path, model: Any, labels: Path | None, limit: int | None, preset: Any, mean: Any, std: Any, resize: Any
) -> Any:
    from pipeline.check import inputs

    usual = inputs.Preprocessing.of(preset, resize)
    return inputs.open_samples(
        source,
        shape=model.sample_shape,
        layout=model.layout,
        classes=model.classes,
        preprocessing=inputs.Preprocessing(mean or usual.mean, std or usual.std, resize),
        labels=labels,
        limit=limit,
    )


def _dataset() -> Any:
    from pipeline import dataset, layout

    return dataset.open_dataset(layout.DATASET)


def _say_what_is_fp32(layers: list[str]) -> None:
    if layers:
        more = f" and {len(layers) - 8} more" if len(layers) > 8 else ""
        click.echo(f"kept in FP32: {', '.join(layers[:8])}{more}")


def _emulator_state(name: str) -> str:
    from pipeline import emulators

    return f"installed, QEMU {emulators.qemu_version(name)}" if emulators.installed(name) else "not installed"


def _print_counts(samples: Any, quarantined: Any) -> None:
    from collections import Counter

    for split, count in Counter(sample.split for sample in samples).items():
        classes = Counter(sample.label for sample in samples if sample.split == split)
        click.echo(f"{split:6} {count:6}  " + "  ".join(f"{name} {n}" for name, n in sorted(classes.items())))
    if quarantined:
        click.echo(
            f"{len(quarantined)} files are no usable images and were left out; quarantine.csv says why", err=True
        )


def _stop(message: str) -> None:
    click.echo(f"edgeproof: {' '.join(message.split())}", err=True)
    sys.exit(2)
