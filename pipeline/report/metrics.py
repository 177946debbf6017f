"""The numbers alone: for `dvc metrics diff`, and for programs. What was not measured is absent, never zero."""

from dataclasses import asdict
from typing import Any

from pipeline.records.gates import Judgement
from pipeline.report.answer import answer
from pipeline.report.collect import Collected


def metrics(collected: Collected) -> dict[str, Any]:
    """Numbers and verdict by model, method and target; those of a board stand beside those of its emulation."""
    nested: dict[str, Any] = {}
    for target in collected.targets:
        for judgement in target.judgements:
            result = judgement.result
            nested.setdefault(result.model, {}).setdefault(result.method, {})[target.name] = _outcome(judgement)
    return nested


def record(collected: Collected) -> dict[str, Any]:
    """The whole summary as JSON: verdicts, the answer, and each result with its checks and reasons."""
    found = answer(collected)
    return {
        "verdict": collected.verdict,
        "verdicts": collected.verdicts,
        "answer": found.sentence,
        "caught": [asdict(item) for item in found.caught],
        "results": [_entry(judgement) for judgement in collected.judgements],
    }


def numbers(judgement: Judgement) -> dict[str, float]:
    """What was measured or predicted of one candidate on one target, by name with unit."""
    result = judgement.result
    accuracy, predicted, board = result.accuracy, result.predicted, result.on_board
    drops = (check.interval for check in judgement.checks if check.name == "accuracy_drop_points")
    low, high = next(drops, None) or (None, None)
    found = {
        "fp32_accuracy_percent": accuracy.fp32.percent if accuracy.fp32 else None,
        "cloud_accuracy_percent": accuracy.cloud.percent if accuracy.cloud else None,
        "host_accuracy_percent": accuracy.host.percent if accuracy.host else None,
        "target_accuracy_percent": accuracy.target.percent if accuracy.target else None,
        "accuracy_drop_points": result.accuracy_drop_points,
        "accuracy_drop_low_points": low,
        "accuracy_drop_high_points": high,
        "agreement_percent": result.agreement_percent,
        "size_bytes": result.size_bytes,
        "download_bytes": result.download_bytes,
        "predicted_regions_per_s": predicted.inferences_per_s if predicted else None,
        "predicted_frames_per_s": predicted.frames_per_s if predicted else None,
        "predicted_latency_ms": predicted.latency_ms if predicted else None,
        "predicted_error_percent": predicted.error_percent if predicted else None,
        "measured_regions_per_s": board.regions_per_s if board else None,
        "measured_frames_per_s": board.loop_per_s if board else None,
        "measured_power_w": board.power_w if board else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _outcome(judgement: Judgement) -> dict[str, Any]:
    if judgement.result.refused:
        return {"refused": judgement.result.refused}
    return {**numbers(judgement), "verdict": judgement.verdict}


def _entry(judgement: Judgement) -> dict[str, Any]:
    result = judgement.result
    facts = result.model_dump(
        include={
            "model", "method", "target", "lane", "precision", "grade", "audit", "bounds", "cloud_basis", "host_isa",
            "not_measured",
        },
        exclude_none=True,
    )  # fmt: skip
    return {**facts, **_outcome(judgement), "checks": [asdict(check) for check in judgement.checks]}
