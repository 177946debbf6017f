"""A candidate on a board from the first look to the verdict, and boards that are away, sick, throttled or hang."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.boards import recorded_boards
from pipeline.boards.access import Away, Outcome, TookTooLong, Unmeasured
from pipeline.boards.board_file import Board, load_board
from pipeline.boards.kit import Kit
from pipeline.boards.on_this_machine import OnThisMachine
from pipeline.device import emulation, golden, on_board, session, verdicts
from pipeline.device.emulation import agreement
from pipeline.device.on_board import Answers, OnBoard
from pipeline.device.session import Fails, Session
from pipeline.device.subject import Subject
from pipeline.processes.side_by_side import Outputs
from pipeline.records.gates import Gates
from pipeline.records.results import Audit, Result
from pipeline.records.targets import load_target
from tests.tiny_candidate import clip, tiny_candidate

EMULATED = "emulated-atom-x5-e3940"
GATES = Gates(accuracy_drop_points=2.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return tiny_candidate(load_board(EMULATED).profile, tmp_path_factory.mktemp("golden"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPROOF_CACHE", str(tmp_path / "cache"))


def test_the_whole_suite_on_an_emulated_board(tiny: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REGIONS", (4,))
    monkeypatch.setattr(on_board.golden, "REGIONS", 40)
    with OnBoard(load_board(EMULATED)) as on:
        found = Session(on, tiny, None, 0.2, 0.3, clip(tmp_path / "clip.avi"))
        found.all()
    judged = verdicts.judged(found, GATES)
    record = judged.result
    assert found.found.fingerprint["soc"].startswith("Intel(R) Atom(TM) Processor E3940")  # type: ignore[index]
    assert record.accuracy.target is not None
    assert (record.accuracy.target.correct, record.accuracy_drop_points) == (12, 0)
    assert found.found.agreement is not None
    assert found.found.agreement.grade == "exact"
    assert set(found.found.speed.loops) == {4}  # type: ignore[union-attr]
    # This machine's speed and the recorded counters are nobody's measurement.
    assert record.lane == "emulated"
    assert record.measured is None
    assert record.predicted is not None
    assert all(check.predicted for check in judged.checks if check.name == "frames_per_s")
    assert "power_w" not in [check.name for check in judged.checks]
    assert record.not_measured["power"]
    said = "\n".join(verdicts.lines(found, judged))
    assert "of this machine, which tells nothing of the target" in said
    assert json.loads(json.dumps(verdicts.as_json(found, judged)))["of_the_target"] is False


# --- what a board may do instead ----------------------------------------------------------------------------------


class Scripted(OnThisMachine):
    """A board whose programs say what a test has them say; `said` maps a program to what it prints, or raises."""

    said: dict[str, Any]
    asked: list[str]

    def run(self, command: Any, budget_s: float, folder: str = ".") -> Outcome:
        if "runners.edge" not in command:
            return Outcome(0, "", "")
        program = command[command.index("runners.edge") + 1]
        self.asked.append(program)
        answer = self.said[program]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Outcome):
            return answer
        return Outcome(0, json.dumps(answer), "")

    def get(self, name: str, file: Path) -> None:
        known = golden.known()
        np.save(file, np.concatenate([known] * (golden.REGIONS // len(known))))


FACTS = {"fingerprint": {"soc": "Intel E3940", "board": "UP"}, "throttled_by": []}
ANSWERED = {"latency_ms": [10.0, 2.0, 2.0], "facts": {"computes": ["CPU"]}}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Subject) -> type[Scripted]:
    """What stands for every board in this test."""
    monkeypatch.setattr(golden, "download", lambda target, room: tiny.download)
    Scripted.said, Scripted.asked = {"facts": FACTS, "logits": ANSWERED}, []
    monkeypatch.setattr("pipeline.boards.ways.open_access", lambda board, within_s: Scripted(board))
    return Scripted


def real_board(**values: Any) -> Board:
    return load_board("this-machine").model_copy(update=values)


def looked_at(board: Board) -> str:
    with OnBoard(board) as on:
        try:
            on.check()
        except Unmeasured as error:
            return str(error)
    return "ready"


def test_a_sound_board_is_ready(scripted: type[Scripted]) -> None:
    assert looked_at(real_board()) == "ready"


def test_another_machine_does_not_pass_for_the_board(scripted: type[Scripted]) -> None:
    scripted.said["facts"] = {**FACTS, "fingerprint": {"soc": "AMD EPYC", "board": "vm"}}
    assert looked_at(real_board()) == "this-machine: is to be E3940, and is AMD EPYC"


def test_a_throttled_board_is_not_measured(scripted: type[Scripted]) -> None:
    scripted.said["facts"] = {**FACTS, "throttled_by": ["cooling_device0 (Processor) is at work"]}
    assert looked_at(real_board()) == "this-machine is throttled: cooling_device0 (Processor) is at work"


def test_a_reason_is_told_once_and_every_limit_with_its_unit(scripted: type[Scripted], tiny: Subject) -> None:
    scripted.said["facts"] = {**FACTS, "throttled_by": ["cooling_device0 (Processor) is at work"]}
    with OnBoard(real_board()) as on:
        found = Session(on, tiny, None, 0.2, 0.3)
        found.all()
    said = verdicts.lines(found, verdicts.judged(found, GATES))
    limits = [line.split(None, 2)[2] for line in said if "limit" in line]
    assert limits[0].startswith("accuracy not measured, limit ")
    assert limits[0].endswith(" points")
    assert limits[1:] == ["speed not measured, limit 30 frames/s", "power not measured, limit 10 W"]
    why = [line.split(": ", 1)[1] for line in said if line.startswith("  not measured: ")]
    assert len(why) == 2
    assert why[1] == "health: this-machine is throttled: cooling_device0 (Processor) is at work"


def test_a_board_that_gives_other_answers_than_it_did_is_sick_since_then(
    scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looked_at(real_board()) == "ready"
    with monkeypatch.context() as changed:
        changed.setattr(Scripted, "get", lambda self, name, file: np.save(file, np.ones((golden.REGIONS, 10))))
        first = looked_at(real_board())
        assert first.startswith("this-machine is sick since 20")
        assert "its answers to the golden bundle are" in first
        since = first.split(": ")[0]
        assert looked_at(real_board()).split(": ")[0] == since
    assert looked_at(real_board()) == "ready"


def test_a_board_that_is_slower_than_it_was_is_sick_under_the_same_fingerprint_alone(scripted: type[Scripted]) -> None:
    slow = {**ANSWERED, "latency_ms": [10.0, 2.5, 2.5]}
    for _ in range(3):
        assert looked_at(real_board()) == "ready"
    scripted.said["logits"] = slow
    assert "takes 2.50 ms, and 2.00 ms before" in looked_at(real_board())
    scripted.said["facts"] = {**FACTS, "fingerprint": {"soc": "Intel E3940", "board": "another"}}
    assert looked_at(real_board()) == "ready"


def test_a_board_that_hangs_once_is_tried_again_and_it_is_told(scripted: type[Scripted], tiny: Subject) -> None:
    scripted.said["facts"] = [TookTooLong("no end of it"), FACTS]
    with OnBoard(real_board()) as on:
        found = Session(on, tiny)
        assert found.health() == FACTS["fingerprint"]
        assert found.found.infrastructure == ["no end of it; tried once more"]


def test_a_board_that_hangs_leaves_all_unmeasured_and_no_verdict(scripted: type[Scripted], tiny: Subject) -> None:
    scripted.said["logits"] = TookTooLong("this-machine: no end of it within 500 s")
    with OnBoard(real_board()) as on:
        found = Session(on, tiny)
        found.all()
    judged = verdicts.judged(found, GATES)
    assert judged.verdict == "not_measured"
    assert scripted.asked.count("logits") == 2, "tried again once, and not by every stage"
    assert "no end of it" in judged.result.not_measured["measured"]
    assert judged.result.measured is None
    assert judged.result.accuracy.target is None


def test_a_board_that_is_away_leaves_all_unmeasured(monkeypatch: pytest.MonkeyPatch, tiny: Subject) -> None:
    def away(board: Board, within_s: float) -> Any:
        raise Away(f"{board.name} is away: no route to host")

    monkeypatch.setattr("pipeline.boards.ways.open_access", away)
    switched: list[str] = []
    monkeypatch.setattr("pipeline.boards.ways.power_cycle", lambda board: switched.append(board.name))
    with OnBoard(load_board("atom-1").model_copy(update={"answer_s": 0.01})) as on:
        found = Session(on, tiny)
        found.all()
    assert switched == ["atom-1"], "once, and not for every stage"
    assert verdicts.judged(found, GATES).verdict == "not_measured"
    assert "no route to host" in found.found.not_measured["health"]


def test_a_candidate_that_the_board_refuses_fails_where_the_golden_bundle_runs(
    scripted: type[Scripted], monkeypatch: pytest.MonkeyPatch, tiny: Subject
) -> None:
    from pipeline.system.errors import InputError

    with OnBoard(real_board()) as on:
        found = Session(on, tiny)
        found.health()
        monkeypatch.setattr(session, "ask", lambda *_: (_ for _ in ()).throw(InputError("the runtime refuses it")))
        with pytest.raises(Fails, match="the runtime refuses it"):
            found.self_test()
        with pytest.raises(Unmeasured, match="no good end"):
            found.speed()
    assert verdicts.judged(found, GATES).verdict == "fail"


def test_a_candidate_that_crashes_there_fails_after_a_second_try(scripted: type[Scripted], tiny: Subject) -> None:
    with OnBoard(real_board()) as on:
        found = Session(on, tiny)
        found.health()
        scripted.said["logits"] = Outcome(139, "", "Segmentation fault")
        with pytest.raises(Fails, match="Segmentation fault"):
            found.self_test()
    assert scripted.asked.count("logits") == 3
    assert verdicts.judged(found, GATES).verdict == "fail"


def test_a_gpu_s_target_is_never_measured_on_the_cpu(board_without_gpu: Board) -> None:
    said = looked_at(board_without_gpu)
    assert "does not run the golden bundle" in said
    assert "OpenVINO sees no GPU here" in said


@pytest.fixture
def board_without_gpu() -> Board:
    return load_board(EMULATED).model_copy(update={"target": "atom-x5-e3940-gpu"})


# --- agreement ----------------------------------------------------------------------------------------------------


def test_answers_that_differ_from_the_emulated_lane_s_fail(tiny: Subject) -> None:
    target = load_board(EMULATED).profile
    assert tiny.parent is not None
    assert agreement(tiny, target, tiny.parent, "board").grade == "exact"
    found = agreement(tiny, target, tiny.parent + np.float32(1e-2), "board")
    assert (found.grade, found.audit.agrees) == ("fails", False)
    assert "away from the emulated lane's" in (found.audit.reason or "")
    eight_bits = replace(tiny, precision="int8")
    assert agreement(eight_bits, target, tiny.parent, "board").grade == "fails", "these must agree in every bit"


def test_what_is_no_number_there_and_in_the_emulated_lane_is_the_same(
    tiny: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny.parent is not None
    overflown = tiny.parent.copy()
    overflown[0], overflown[1, 0] = np.nan, np.inf
    monkeypatch.setattr(emulation, "run", lambda *_: [Outputs(overflown, {})])
    target = load_board(EMULATED).profile
    assert agreement(tiny, target, overflown, "board").grade == "exact"
    assert agreement(tiny, target, tiny.parent, "board").grade == "fails"


def test_eight_bits_agree_within_the_tolerance_that_the_audit_needed(tiny: Subject) -> None:
    target = load_board(EMULATED).profile
    audit = Audit(emulator="denverton", samples=8, tolerance=1e-5, agrees=True)
    emulated = Result(model="m", method="x", target=target.name, lane="emulated", precision="int8", audit=audit)
    assert tiny.parent is not None
    floats_in_it = replace(tiny, precision="int8", emulated=emulated)
    assert agreement(floats_in_it, target, tiny.parent, "board").grade == "exact"


def test_where_hardware_is_bounded_the_worse_end_s_accuracy_is_the_promise(
    tiny: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny.parent is not None
    assert tiny.labels is not None
    wrong = tiny.parent.copy()
    wrong[0, tiny.labels[0]] = -100  # one answer fewer is right at the worse end
    monkeypatch.setattr(emulation, "run", lambda *_: [Outputs(tiny.parent, {}), Outputs(wrong, {})])
    target = load_target("jetson-tx2-maxp")
    half = replace(tiny, precision="fp16")
    assert agreement(half, target, wrong, "tx2").grade == "bounded"
    worse = wrong.copy()
    worse[1, tiny.labels[1]] = -100
    found = agreement(half, target, worse, "tx2")
    assert (found.grade, found.audit.reason) == ("fails", "10 of 12 right, and 11 at the worse end of the emulation")
    assert agreement(replace(half, labels=None), target, worse, "tx2").grade == "not_measured"


# --- base and head ------------------------------------------------------------------------------------------------


def speed_said(fps: float) -> dict[str, Any]:
    figures = {
        "frames": 10, "seconds": 1.0, "fps": fps, "regions": 40, "regions_a_frame": 4,
        "parts": {name: {"cpu_ms": 1.0, "wall_p50_ms": 1.0, "wall_p99_ms": 1.0} for name in session.loop_figures.PARTS},
        "classifier_p50_ms": 10.0, "classifier_p99_ms": 12.0, "regions_per_second": 4 * fps, "rounds_fps": [fps],
        "rounds_classifier_ms": [10.0], "start_seconds": 1.0, "peak_memory_mib": 100.0, "readers_memory_mib": 50.0,
        "threads": 4, "device": {}, "cameras": {"clip": {"dropped": 0}},
    }  # fmt: skip
    loops = {str(regions): figures for regions in (0, 1, 2, 3, 4)}
    cool = {"clocks_mhz": {}, "temperatures_c": {}, "fan_percent": None, "throttled": False, "signs": []}
    return {"loop": loops, "not_measured": {}, "before": cool, "during": cool, "after": cool}


@pytest.mark.parametrize(
    ("head", "base", "verdict"),
    [
        ([35, 35, 35], [36, 36, 36], "pass"),  # slower, and fast enough
        ([25, 25, 25], [36, 36, 36], "fail"),  # broken, and worse in every round
        ([25, 25, 25], [36, 24, 36], "not_measured"),  # broken, and the rounds do not agree
        ([25, 25, 25], [25, 25, 25], "not_measured"),  # broken, and by the base as well
    ],
)
def test_a_change_regresses_where_the_limit_breaks_and_all_rounds_agree(
    scripted: type[Scripted], tiny: Subject, tmp_path: Path, head: list[float], base: list[float], verdict: str
) -> None:
    order = [base[0], head[0], head[1], base[1], base[2], head[2]]  # by turns
    scripted.said["speed"] = [speed_said(fps) for fps in [head[0], *order, 0]]
    with OnBoard(real_board()) as on:
        found = Session(on, tiny, replace(tiny), 1.0, 1.0, clip(tmp_path / "clip.avi"))
        found.health()
        found.found.answers = Answers(tiny.parent, [10.0, 2.0], {})  # type: ignore[arg-type]
        assert found.speed().rounds == list(zip(base, head, strict=True))
    judged = verdicts.judged(found, GATES)
    [speed] = [own for check, own in zip(judged.checks, judged.verdicts, strict=True) if check.name == "frames_per_s"]
    assert speed == verdict
    assert judged.result.lane == "device"
    assert judged.result.measured is not None
    assert judged.result.measured.frames_per_s[4] == head[0]


def test_more_regions_than_the_program_takes_are_not_measured(
    scripted: type[Scripted], tiny: Subject, tmp_path: Path
) -> None:
    wanted = load_target("atom-x5-e3940")
    wanted = wanted.model_copy(update={"objective": wanted.objective.model_copy(update={"regions_per_frame": 6})})
    scripted.said["speed"] = speed_said(40)
    with OnBoard(real_board()) as on:
        on.target = wanted
        found = Session(on, tiny, None, 1.0, 1.0, clip(tmp_path / "clip.avi"))
        found.health()
        found.found.answers = Answers(tiny.parent, [10.0, 2.0], {})  # type: ignore[arg-type]
        with pytest.raises(Unmeasured, match="says nothing of regions_6"):
            found.speed()
    record = verdicts.result(found)
    assert record.measured is None
    assert "says nothing of regions_6" in record.not_measured["measured"]


def test_a_run_during_which_the_board_was_throttled_is_not_measured(
    scripted: type[Scripted], tiny: Subject, tmp_path: Path
) -> None:
    said = speed_said(40)
    said["during"] = {**said["during"], "throttled": True, "signs": ["cpu0 at 800 of 1600 MHz while busy"]}
    scripted.said["speed"] = said
    with OnBoard(real_board()) as on:
        found = Session(on, tiny, None, 1.0, 1.0, clip(tmp_path / "clip.avi"))
        found.health()
        with pytest.raises(Unmeasured, match="throttled: cpu0 at 800 of 1600 MHz while busy"):
            found.speed()


def test_recorded_boards_are_what_emulated_ones_show() -> None:
    with_kit = OnThisMachine(load_board(EMULATED))
    facts = Kit(with_kit).ask("facts", {"json": True, "root": with_kit.root}, 60)
    with_kit.close()
    assert facts["rails"]["rapl"] == ["package-0", "core", "dram", "uncore"]
    assert set(recorded_boards.TREES) == {"atom", "tx2", "orin"}


def test_an_emulated_board_has_its_target_s_memory_whatever_this_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "64")
    board = OnThisMachine(load_board(EMULATED))
    said = board.run(["/bin/sh", "-c", "ulimit -d; echo $OPENBLAS_NUM_THREADS"], 10).stdout
    board.close()
    memory_mib = board.board.profile.emulation.memory_limit_mib
    assert memory_mib
    assert said == f"{memory_mib << 10}\n1\n"
