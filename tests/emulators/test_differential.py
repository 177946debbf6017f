"""Random strangers' networks through `check`, held against runs that share none of its code.

No pass where the independent run fails or loses more than the limit, and no refusal where it runs.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from pipeline.check.check import check
from pipeline.check.record import CheckReport
from pipeline.data import own
from pipeline.formats import model_file
from pipeline.formats.to_openvino import write_openvino
from pipeline.processes import host
from pipeline.records.gates import Verdict
from pipeline.records.targets import load_target
from pipeline.system.errors import BadModel, InputError
from tests.emulators.independent import IR, in_floats, in_half_precision, on_goldmont
from tests.random_networks import SAMPLES, Drawn, Floats, draw

LIMIT = 5.0  # points
ONE = 100 / SAMPLES * 1.01  # points of one sample, by which two ways to add up may differ
PART = 20  # networks that one emulator calculates


class Held:
    """The outcome of many networks: what `check` said, how often, and where the independent run contradicts."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []

    def hold(
        self, drawn: Drawn, target: str, folder: Path, answers: Floats | None, *, runs: bool, undecided: float = 0.0
    ) -> None:
        """Check a network, and hold what is said against independent `answers`; `runs` where the target runs it.

        `undecided` is the share of samples that may be lost as well, where rounding in another order is as right.
        """
        precision = drawn.precision.split(",")[0]
        try:
            report = checked(drawn, target, folder)
        except InputError as error:
            self.seen[f"{precision} refused"] += 1
            if runs:
                self.wrong.append(f"{drawn.recipe}: refused, but runs: {error}")
            return
        found = accuracy(report)
        self.seen[f"{precision} {report.verdict} (accuracy {found})"] += 1
        if not runs and report.verdict == "pass":
            self.wrong.append(f"{drawn.recipe}: passes, but does not run")
        if runs and found == "not_measured" and not by_luck(drawn):
            self.wrong.append(f"{drawn.recipe}: {report.not_measured}, but runs")
        if answers is None or not runs:
            return
        self.seen["held against an independent run"] += 1
        scores = answers.reshape(len(answers), -1)
        wrong = (scores.argmax(1) != drawn.labels) | np.isnan(scores).any(1)  # what is no number is no answer
        lost = 100 * float(wrong.mean())
        if found == "pass" and lost > LIMIT + ONE:
            self.wrong.append(f"{drawn.recipe}: passes, but loses {lost:.1f} points")
        if found == "fail" and lost + 100 * undecided < LIMIT - ONE:
            self.wrong.append(f"{drawn.recipe}: fails ({report.accuracy}), but loses {lost:.1f} points only")


def checked(drawn: Drawn, target: str, folder: Path) -> CheckReport:
    """What is said of the network, as an IR where the folder has one."""
    files = [folder / name for name in ("net.onnx", "original.onnx")]
    for path, model in zip(files, (drawn.model, drawn.original), strict=True):
        onnx.save(model, path)
    np.savez(folder / "data.npz", inputs=drawn.inputs, labels=drawn.labels)
    network, original = (model_file.open_model(path, size=drawn.size) for path in files)
    opened = model_file.open_model(folder / IR, size=drawn.size) if (folder / IR).exists() else network
    samples = own.open_samples(folder / "data.npz", shape=opened.sample_shape)
    names = [drawn.output] if drawn.output else []
    return check(opened, load_target(target), samples, reference=original, outputs=names, max_drop_points=LIMIT)


def by_luck(drawn: Drawn) -> bool:
    """Whether always answering the commonest class were right of all samples in more than one of 20 such draws."""
    share = np.bincount(drawn.labels).max() / len(drawn.labels)
    return bool(share ** len(drawn.labels) > 0.05)


def accuracy(report: CheckReport) -> Verdict:
    return next((item.verdict for item in report.checks if item.name == "accuracy_drop_points"), "not_measured")


def on_the_atom(seeds: range, folder: Path) -> Held:
    """OpenVINO itself on the emulated Goldmont server part calculates every sample; of three files one is an IR."""
    held = Held()
    for first in range(seeds.start, seeds.stop, PART):
        part = range(first, min(first + PART, seeds.stop))
        folders = [folder / str(seed) for seed in part]
        networks = [draw(seed) for seed in part]
        for place, drawn in zip(folders, networks, strict=True):
            place.mkdir()
            onnx.save(drawn.model, place / "net.onnx")
            if int(place.name) % 3 == 2:
                with suppress(BadModel):  # it takes the file itself perhaps
                    write_openvino(place / "net.onnx", place / Path(IR).parent)
            np.save(place / "inputs.npy", drawn.inputs)
        on_goldmont(folders)
        for place, drawn in zip(folders, networks, strict=True):
            answers = np.load(place / "answers.npy") if (place / "answers.npy").exists() else None
            held.hold(drawn, "atom-x5-e3940", place, answers, runs=answers is not None)
    return held


def on_the_a57(seeds: range, folder: Path) -> Held:
    """Quantized layers in floats are what 8 bits with sums that do not saturate come to."""
    held = Held()
    for seed in seeds:
        drawn, place = draw(seed), folder / str(seed)
        place.mkdir()
        # What is quantized for good saturates on this machine, if that is what its 8-bit sums do.
        answers = None if host.saturates() and drawn.kernels else in_floats(drawn.model, drawn.inputs)
        # The target's ONNX Runtime has no ConvInteger of signed weights, which dynamic quantization writes.
        held.hold(drawn, "tegra-parker-a57", place, answers, runs="Integer" not in drawn.kernels)
    return held


def on_the_jetson(seeds: range, folder: Path) -> Held:
    """NumPy's 16 bits, for every number that ONNX's own evaluator calculates; of quantized files the original."""
    held = Held()
    for seed in seeds:
        drawn, place = draw(seed), folder / str(seed)
        place.mkdir()
        if drawn.precision != "fp32":
            with pytest.raises(InputError, match="DP4A"):
                checked(drawn, "jetson-tx2-maxq", place)
            drawn = replace(drawn, model=drawn.original, precision="fp32")
        answers = in_half_precision(drawn.model, drawn.inputs)
        undecided = 0.0 if answers is None else nearly_lost(answers, in_floats(drawn.model, drawn.inputs))
        held.hold(drawn, "jetson-tx2-maxq", place, answers, runs=not drawn.unread, undecided=undecided)
    return held


def nearly_lost(answers: Floats, exact: Floats) -> float:
    """The share of samples whose two best scores are closer than the `answers` are to the `exact` ones on the whole."""
    scores, exact = (values.reshape(len(values), -1) for values in (answers, exact))
    best = np.sort(scores, axis=1)[:, -2:]
    error = float(np.sqrt(np.nanmean(np.square(scores - exact))))
    return float((best[:, -1] - best[:, 0] < error).mean()) if best.shape[1] == 2 else 0.0


TARGETS: dict[str, Callable[[range, Path], Held]] = {
    "the Atom": on_the_atom,
    "the Jetson": on_the_jetson,
    "the A57": on_the_a57,
}


def say_and_hold(target: str, seeds: range, folder: Path) -> None:
    held = TARGETS[target](seeds, folder)
    print(f"{target}: {len(seeds)} networks: {dict(held.seen)}")
    assert held.wrong == [], "\n".join(held.wrong)


def test_what_is_said_of_a_network_is_so(tmp_path: Path) -> None:
    """On the others an emulated CPU takes too long for every change."""
    say_and_hold("the Jetson", range(1), tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("target", TARGETS)
def test_what_is_said_of_many_networks_is_so(target: str, tmp_path: Path) -> None:
    say_and_hold(target, range(200), tmp_path)


def test_the_same_seed_draws_the_same_network() -> None:
    first, again = draw(7), draw(7)
    assert first.model == again.model
    assert np.array_equal(first.inputs, again.inputs)
