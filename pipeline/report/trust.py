"""How far the numbers can be trusted, in words: what proves the emulation, and what stands for the cloud."""

from collections.abc import Iterable

from pipeline.records.gates import Judgement
from pipeline.records.results import Result
from pipeline.records.words import NOT_MEASURED, number
from pipeline.report.collect import OnTarget
from pipeline.system.console import one_line

UNKNOWN = "unknown"  # as the re-test calls a CPU that it cannot name


def grade(target: OnTarget) -> str:
    """How sure the emulation is and what proves it, with the candidates' names where they differ."""
    if target.lane == "device":
        return "measured on a board"
    results = [judgement.result for judgement in target.tested]
    one_model = len({result.model for result in results}) == 1
    grades: dict[str, list[Result]] = {}
    for result in results:
        grades.setdefault((result.grade or NOT_MEASURED).replace("_", " "), []).append(result)
    lines = []
    for word, graded in grades.items():
        names = ", ".join(result.method if one_model else result.candidate for result in graded)
        remarks = [names if len(grades) > 1 else "", _proof(target, graded) if word == "exact" else ""]
        remark = ": ".join(filter(None, remarks))
        lines.append(f"{word} ({remark})" if remark else word)
    return "; ".join(lines) or NOT_MEASURED


def doubts(result: Result) -> list[str]:
    """What the reader must know of an accuracy on the target that was measured."""
    found = []
    if result.grade == "unaudited" and result.audit and result.audit.reason:
        found.append(f"not audited: {one_line(result.audit.reason)}")
    if result.bounds:
        ends = ", ".join(
            f"{name.replace('fp', 'FP').replace('_', ' ')} {number(end.percent)} %"
            for name, end in sorted(result.bounds.items(), reverse=True)
        )
        found.append(f"{ends}; the worse counts")
    return found


def cloud(judgements: Iterable[Judgement]) -> str:
    """What the cloud's numbers are: another machine may give others, and a saturating one cannot give them at all."""
    results = [judgement.result for judgement in judgements if judgement.result.accuracy.cloud]
    measured = [result for result in results if result.cloud_basis == "measured"]
    simulated = [result for result in results if result.cloud_basis == "simulated"]
    parts = []
    if measured:
        which = f"{_precisions(measured)} " if simulated else ""
        parts.append(f"{which}measured on this machine ({_isas(measured)})")
    if simulated:
        which = f"{_precisions(simulated)} on " if measured else ""
        isas = _isas(simulated)
        parts.append(
            f"{which}a CPU with VNNI, simulated in floating point, because this machine's own CPU ({isas}) "
            f"{'may saturate' if UNKNOWN in isas else 'saturates'} too"
        )
    return f"Cloud: {'; '.join(parts) or NOT_MEASURED}."


def _proof(target: OnTarget, exact: list[Result]) -> str:
    emulator = target.profile.emulation.emulator
    audited = [(result.precision, result.audit) for result in exact if result.audit and result.audit.agrees]
    if not audited:  # what is exact without an audit ran in the emulator itself
        return f"every sample calculated on {_emulator(emulator)}" if emulator else ""
    samples = min(audit.samples for _, audit in audited)
    places = ", ".join(dict.fromkeys(_emulator(audit.emulator) for _, audit in audited))
    ways: dict[str, list[str]] = {}
    for precision, audit in audited:
        way = f"within {100 * audit.tolerance:g} % of the largest output" if audit.tolerance else "bit for bit"
        ways.setdefault(way, []).append(precision.upper())
    equal = f"{samples} samples of each candidate equal"
    if len(ways) == 1:
        return f"{equal} {''.join(ways)} on {places}"
    return f"{equal} on {places}, " + ", ".join(f"{'/'.join(dict.fromkeys(who))} {way}" for way, who in ways.items())


def _emulator(name: str) -> str:
    return f"QEMU's {name.title()}"


def _precisions(results: Iterable[Result]) -> str:
    return "/".join(dict.fromkeys(result.precision.upper() for result in results))


def _isas(results: Iterable[Result]) -> str:
    return ", ".join(sorted({result.host_isa or UNKNOWN for result in results}))
