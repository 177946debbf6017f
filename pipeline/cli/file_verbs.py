"""What any model file can be asked, with no pipeline and no training: check, compress, predict."""

import sys
from pathlib import Path
from typing import Any

import click

from pipeline.cli.counts import print_fp32_layers, print_notes
from pipeline.cli.options import SIZE, image_options, judging_options
from pipeline.cli.own_samples import about, as_taken_by, judged_on_calibration, samples_for
from pipeline.system.errors import shown


@click.command()
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
@click.option("--output", "outputs", multiple=True, help="The output that is judged, where it has several.")
@click.option("--max-drop", type=click.FloatRange(0), default=1.0, show_default=True, help="Points it may lose.")
@judging_options
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the record here.")
def check(
    model: Path,
    target: str,
    data: Path | None,
    labels: Path | None,
    reference: Path | None,
    precision: Any,
    size: Any,
    layout: Any,
    limit: int | None,
    outputs: tuple[str, ...],
    task: Any,
    max_difference: float | None,
    max_drop: float,
    confidence: float | None,
    accept_unaudited: bool,
    audit_seconds: float,
    json_file: Path | None,
    **images: Any,
) -> None:
    """Will MODEL, any ONNX file or OpenVINO IR, do on a device what it does here?

    Runs it on this machine and in the target's own arithmetic over the same samples, says what it loses there and in
    which layers, and predicts its speed. With --data and labels the accuracy counts; without labels, how many answers
    change where the output is a class, else how far the outputs are apart (--max-difference).

    \b
    edgeproof check int8.onnx --target atom-x5-e3940 --data imagenet/manifest.csv --reference fp32.onnx
    edgeproof check model.xml --target atom-x5-e3940 --data samples.npz --json check.json
    """
    from pipeline.check import check, github, printout
    from pipeline.data import own
    from pipeline.formats import model_file
    from pipeline.records.gates import EXIT_CODES
    from pipeline.records.targets import load_target
    from pipeline.system import files, workflow_commands

    workflow_commands.stop()
    if json_file:
        files.check_writable(json_file, "JSON", model, data, labels, reference)
    profile = load_target(target)
    opened = model_file.open_model(model, size=size, layout=layout)
    original = model_file.open_model(reference, size=size, layout=layout) if reference else None
    if data is None:
        samples: own.LabelledSamples = own.random_samples(
            opened.sample_shape, limit or check.RANDOM_SAMPLES, pixels=opened.takes_pixels
        )
    else:
        # What is said of scaling is said of the original, where the model takes pixels.
        own_images = images if original is None or original.takes_pixels else about(opened, images)
        samples = samples_for(data, opened, labels, limit, own_images, outputs, task)
    report = check.check(
        opened,
        profile,
        samples,
        precision=precision,
        reference=original,
        reference_samples=as_taken_by(original, opened, samples, data, images) if original else None,
        random=data is None,
        outputs=outputs,
        task=task,
        max_drop_points=max_drop,
        max_difference_percent=max_difference,
        confidence=confidence,
        accept_unaudited=accept_unaudited,
        audit_seconds=audit_seconds,
    )
    if json_file:
        files.write_json(json_file, report.model_dump(mode="json"))
    page = printout.render(report, profile)
    click.echo(page)
    github.tell(report, page, model)
    sys.exit(EXIT_CODES[report.verdict])


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--method", type=click.Choice(["int8", "fp16"]), required=True, help="What weights become.")
@click.option("--target", required=True, help="The device it is for; `edgeproof targets` lists them.")
@click.option(
    "--calibration", type=click.Path(path_type=Path), required=True, help="Manifest CSV, folder of images or .npz."
)
@click.option("--data", type=click.Path(path_type=Path), help="What to check the outcome on; else the calibration's.")
@click.option("--labels", type=click.Path(path_type=Path), help="Class names or indices of what it is checked on.")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="Folder to write: a new one, or what this wrote."
)
@click.option("--limit", type=click.IntRange(1), default=300, show_default=True, help="Samples to calibrate on.")
@click.option("--size", type=SIZE, help="Input size, S or HxW, of a model that leaves it open.")
@click.option("--judge", "outputs", multiple=True, help="The output that is judged, where it has several.")
@judging_options
@image_options
@click.option("--layout", type=click.Choice(["nchw", "nhwc"]), help="Of the input, where its shape does not tell.")
def compress(
    model: Path,
    method: Any,
    target: str,
    calibration: Path,
    data: Path | None,
    labels: Path | None,
    output: Path,
    limit: int,
    size: Any,
    layout: Any,
    outputs: tuple[str, ...],
    task: Any,
    max_difference: float | None,
    confidence: float | None,
    accept_unaudited: bool,
    audit_seconds: float,
    **images: Any,
) -> None:
    """Compress MODEL, anyone's FP32 ONNX file, so that it survives the arithmetic of a device.

    \b
    edgeproof compress fp32.onnx --method int8 --target atom-x5-e3940 --calibration photos/ --output int8/

    Needs no pipeline, and no labels. It writes model.onnx (and an OpenVINO IR, where the target takes one), then says
    what `edgeproof check` says of what the device loads: with labels the accuracy counts, else how often the answer
    stays that of MODEL. The exit code is the verdict's.
    """
    from pipeline.check import check, printout
    from pipeline.check.first_samples import try_out
    from pipeline.check.outputs import choose
    from pipeline.compress.any_file import LEAST_CPU_S, compress_file, output_folder
    from pipeline.formats import model_file
    from pipeline.formats.mixed_precision import fp32_layers
    from pipeline.formats.model_file import single_width
    from pipeline.formats.onnx_file import load_onnx
    from pipeline.records.gates import EXIT_CODES
    from pipeline.records.targets import load_target
    from pipeline.system import workflow_commands

    workflow_commands.stop()
    judge = {"outputs": outputs, "task": task, "option": "--judge"}
    with output_folder(output, model, calibration, *([data] if data else [])).claimed():
        profile, original = load_target(target), model_file.open_model(model, size=size, layout=layout)
        samples = samples_for(calibration, original, None, limit, images, labelled=False)
        if data is None and labels is None:
            judged_on = judged_on_calibration(calibration, samples, original, limit, images, judge)
        else:
            judged_on = samples_for(data or calibration, original, labels, None if data else limit, images, **judge)
        chosen = choose(original, judged_on.labels, outputs, "--judge")
        if judged_on is samples and task is None and all((single_width(one.shape) or 0) > 1 for one in chosen):
            task = "classes"  # the images have classes, if others than the network's
        try_out(original, judged_on, chosen, task)
        made = compress_file(original, method, profile, samples, output, max(LEAST_CPU_S, 2 * audit_seconds))
        ir = made.parent / "openvino" / "model.xml"  # which a device with OpenVINO loads
        compressed = model_file.open_model(ir if ir.exists() else made, size=size, layout=layout)
        print_fp32_layers(fp32_layers(load_onnx(made)))
        if data is not None:
            print_notes(samples.notes)
        report = check.check(
            compressed,
            profile,
            judged_on,
            reference=original,
            outputs=outputs,
            task=task,
            max_difference_percent=max_difference,
            confidence=confidence,
            accept_unaudited=accept_unaudited,
            audit_seconds=audit_seconds,
        )
    click.echo(printout.render(report, profile))
    sys.exit(EXIT_CODES[report.verdict])


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", required=True, help="The device whose runtime has to read it.")
@click.option("--size", type=SIZE, help="Input size, S or HxW, of a model that leaves it open.")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="Folder to write: a new one, or what this wrote."
)
def convert(model: Path, target: str, size: Any, output: Path) -> None:
    """Rewrite MODEL, an ONNX file, in operators that the runtime of a device reads.

    \b
    edgeproof convert net.onnx --target jetson-tx2-maxq --output readable/

    It writes model.onnx: HardSwish, Gelu, LayerNormalization and their like in simpler operators, constants folded,
    the input's size fixed and the opset lowered. It must calculate the same as before, or nothing is written.
    """
    from pipeline.compress.any_file import convert_file, output_folder
    from pipeline.formats import model_file
    from pipeline.records.targets import load_target
    from pipeline.system import workflow_commands

    workflow_commands.stop()
    with output_folder(output, model, by="edgeproof convert").claimed():
        profile, original = load_target(target), model_file.open_model(model, size=size)
        changes = convert_file(original, profile, output)
    for change in changes:
        click.echo(change)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", required=True, help="The device; `edgeproof targets` lists them.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "int8"]), help="By default what the file holds.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images per inference.")
@click.option("--size", type=SIZE, help="Input size, S or HxW, of a model that leaves it open.")
@click.option(
    "--measured",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Fit to records of our own boards as well, such as artifacts/results/device.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all, with per-layer times, here.")
def predict(
    model: Path, target: str, precision: Any, batch: int, size: Any, measured: Path | None, json_file: Path | None
) -> None:
    """Predict the speed of MODEL (ONNX or OpenVINO IR) on a device, from published measurements of others.

    \b
    edgeproof predict model.onnx --target atom-x5-e3940
    edgeproof predict model.onnx --target atom-x5-e3940 --measured artifacts/results/device

    With --measured also from those of our own boards, each of which weighs as much as three published networks; each is
    listed with what is predicted for it before and after.
    """
    from pipeline.formats.model_file import open_model
    from pipeline.predict import precision_of, predict
    from pipeline.project import own_boards
    from pipeline.records.targets import load_target
    from pipeline.system import files, workflow_commands

    workflow_commands.stop()
    if json_file:
        files.check_writable(json_file, "JSON", model)
    profile = load_target(target)
    precision = precision_of(model, profile, precision)
    shape = open_model(model, size=size).sample_shape if size else None
    rows, left_out = ([], []) if measured is None else own_boards.measured(measured)
    found = predict(model, profile, precision, batch, rows, sample_shape=shape)
    if json_file:
        files.write_json(json_file, found.model_dump(mode="json"))
    click.echo(
        f"{shown(model)} on {target}, {found.precision}, batch {batch}: {found.inferences_per_s:.0f} regions/s "
        f"(predicted, +-{found.error_percent:.0f} %), {found.latency_ms:.1f} ms"
    )
    if found.frames_per_s is not None and found.frames_range is not None:
        low, high = found.frames_range
        click.echo(
            f"the whole program with {profile.objective.regions_per_frame} regions a frame: "
            f"{found.frames_per_s:.1f} frames/s (predicted, {low:.1f} to {high:.1f})"
        )
    if found.power_w is not None:
        click.echo(f"{found.power_w:.1f} W ({found.power_basis})")
    for note in found.notes:
        click.echo(f"note: {note}")
    for line in own_boards.compared(rows, profile):
        click.echo(line)
    for line in left_out:
        click.echo(f"left out: {line}")


COMMANDS = [check, compress, convert, predict]
