"""What our own boards measured, as rows that the prediction is fitted to."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from pipeline.predict import BoardResult, predict
from pipeline.project import layout
from pipeline.project.candidate import MODELS, weights_of
from pipeline.records.results import Result, read_result
from pipeline.records.targets import Target, load_target
from pipeline.system.errors import InputError, Missing, Unpredictable
from pipeline.system.files import sha256


def measured(folder: Path) -> tuple[list[BoardResult], list[str]]:
    """The usable records in artifacts/results/device or a copy of it, and why others are none.

    A record counts where its board was not throttled, and where the candidate that it is of still lies beside it.

    Raises:
        InputError: there is no such folder, or a record in it is damaged.
    """
    if not folder.is_dir():
        raise Missing(f"{folder}: no such folder; records of boards are in {layout.ARTIFACTS}/results/device")
    rows, left_out = [], []
    for path in sorted(folder.rglob("*.json")):
        record = read_result(path)
        row = _row(record, folder.resolve().parents[1])
        if isinstance(row, str):
            left_out.append(f"{record.candidate} on {record.target}: {row}")
        else:
            rows.append(row)
    if not rows:
        raise InputError(
            f"{folder}: no record that a prediction can be fitted to ({'; '.join(left_out) or 'it is empty'})"
        )
    return rows, left_out


def compared(rows: Sequence[BoardResult], target: Target) -> list[str]:
    """For each row of a target's family: measured, and predicted without our own boards and with them."""
    lines = []
    for row in rows:
        profile = load_target(row.target)
        if profile.measured_as != target.measured_as:
            continue
        found = [_predicted(row, profile, given) for given in ((), tuple(rows))]
        without, fitted = ("not predicted" if rate is None else f"{rate:.0f}" for rate in found)
        name = f"{row.model.parent.parent.name}/{row.model.parent.name}"
        lines.append(
            f"measured: {name} on {row.target}, {row.precision}: {row.inferences_per_s:.0f} regions/s; predicted "
            f"{without} without our boards, {fitted} with them"
        )
    return lines


def _predicted(row: BoardResult, target: Target, given: Sequence[BoardResult]) -> float | None:
    try:
        return predict(row.model, target, row.precision, row.batch, given).inferences_per_s
    except Unpredictable:
        return None


def _row(record: Result, artifacts: Path) -> BoardResult | str:
    found = record.on_board
    if record.lane != "device" or found is None:
        hot = record.measured is not None and record.measured.throttled
        return "the board was throttled" if hot else "no board measured its speed"
    graph = artifacts / "candidates" / record.model / record.method / "model.onnx"
    runtime = load_target(record.target).runtime.name
    file = weights_of(artifacts / "export" / record.model / record.method / runtime / MODELS[runtime])
    if not graph.exists() or not file.exists() or sha256(file) != record.model_sha256:
        return f"the network that was measured does not lie in {artifacts} any more"
    power = found.power
    return BoardResult(
        model=graph,
        target=record.target,
        precision=record.precision,
        batch=found.regions_per_frame,
        inferences_per_s=found.regions_per_s,
        system_per_s=found.loop_per_s and found.regions_per_frame * found.loop_per_s,
        latency_ms=median(found.latency_ms),
        power_w=power.sustained_w if power else None,
        idle_w=power.idle_w if power else None,
    )
