"""Why a model came to no answer in a place: told apart, since the one is the model's fault and the other is not."""

from pathlib import Path
from signal import SIGKILL

from pipeline.system.errors import BadModel, plain

SIGNALS = {4: "illegal instruction", 6: "aborted", 7: "bus error", 8: "arithmetic error", 9: "killed", 11: "bad memory"}

NO_KERNEL = "Could not find an implementation for"  # ONNX Runtime of an operator that it has, but not for these types


class Failed(BadModel):
    """`model` gave no answer: `what` happened `where`, as in "the runtime refused it" "on this machine".

    `place` is the description of the place, once it is known.
    """

    place = ""

    def __init__(self, model: Path, what: str, where: str) -> None:
        super().__init__(f"{model}: {what} {where}".rstrip())
        self.what, self.where = what, where


class Crashed(Failed):
    """The process died of a signal."""

    def __init__(self, model: Path, signal: int, where: str) -> None:
        # Nobody but the kernel kills with 9, unasked, and it does so where memory runs out.
        end = "was killed, most likely since the memory ran out" if signal == SIGKILL else "crashed"
        super().__init__(model, f"the runtime {end} (signal {int(signal)})", where)
        self.signal = signal

    @property
    def reason(self) -> str:
        """What the signal means, in words."""
        return SIGNALS.get(self.signal, f"signal {self.signal}")


class RefusedByRuntime(Failed):
    """The runtime says that it does not take the model; `said` is how."""

    def __init__(self, model: Path, said: str, where: str) -> None:
        said = plain(said) or said
        if NO_KERNEL in said:
            quantized = "Integer(" in said  # ONNX Runtime has these of unsigned weights alone, or not at all
            remedy = "quantize it statically (QDQ), or its weights to QUInt8" if quantized else "export it in float32"
            said += f", for numbers of this type; {remedy}"
        super().__init__(model, "the runtime refused it", f"{where}: {said}")
        self.said = said


class Misshapen(BadModel):
    """It answers no row for each sample, as `said`: the file's fault, or that of a runtime that misreads it."""

    def __init__(self, model: Path, said: str) -> None:
        super().__init__(
            f"{model}: {said}; its output must have a row for each sample: cut off what joins or selects rows, "
            "such as NonMaxSuppression"
        )
        self.said = said


class Unemulated(Failed):
    """The emulation in `place` does not follow the model, as `said`; the device itself may."""

    def __init__(self, model: Path, said: str) -> None:
        super().__init__(model, said, "")


class Hung(Failed):
    """It stopped working; `how` says how that was seen."""

    def __init__(self, model: Path, how: str, where: str) -> None:
        super().__init__(model, f"the runtime stopped working ({how})", where)


class OutOfMemory(Failed):
    """It needs more than the `limit_mib` of its place, or where that is None more than there is."""

    def __init__(self, model: Path, limit_mib: int | None, where: str) -> None:
        what = f"needs more than the target's {limit_mib} MiB of memory" if limit_mib else "not enough memory"
        super().__init__(model, what, where)
        self.limit_mib = limit_mib


class TooSlow(Failed):
    """It did not answer within `limit_s`; all samples would take about `needed_s` seconds, None where not known."""

    def __init__(self, model: Path, limit_s: float, where: str, needed_s: float | None = None) -> None:
        super().__init__(model, f"the runtime did not answer within {limit_s:g} s and was stopped", where)
        self.limit_s, self.needed_s = limit_s, needed_s
