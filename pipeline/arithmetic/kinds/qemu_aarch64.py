"""Arm CPUs: every sample runs in ONNX Runtime on QEMU, whose instructions are the target's own.

ONNX Runtime's 8-bit kernels for x86 and for Arm answer differently, so nothing faster is exact.
"""

from pathlib import Path

from pipeline.arithmetic.kinds import Kind, Plan, needs_onnx
from pipeline.processes import host
from pipeline.processes.child import Place
from pipeline.records.results import CloudBasis
from pipeline.records.targets import Precision, Target

BACKEND = "pipeline.processes.backends.onnxruntime_cpu"


class QemuAarch64(Kind):
    """The exported model in ONNX Runtime for Arm, in QEMU."""

    replays_everything = True

    def explain(self, target: Target) -> str:
        """How the emulation works."""
        return f"every sample runs in ONNX Runtime on QEMU's {target.emulation.emulator}"

    def refusal(self, model: Path, target: Target) -> str | None:
        """ONNX Runtime takes ONNX files."""
        return needs_onnx(model, target)

    def plan(self, target: Target, precision: Precision) -> Plan:
        """Here and in QEMU; the cloud's answer is this machine's, unless its 8-bit sums saturate."""
        here = Place("this machine", BACKEND, host.CORES)
        not_measured = {}
        cloud: Place | None = here
        basis: CloudBasis | None = "measured"
        if precision == "int8" and host.saturates():
            cloud, basis = None, None
            not_measured["accuracy.cloud"] = f"ONNX Runtime's 8-bit sums saturate on this machine ({host.isa()})"
        return Plan(
            host=here,
            target=Place(
                f"{target.name} in QEMU",
                BACKEND,
                host.EMULATORS_THREADS,
                where=f"on the emulated CPU ({target.emulation.emulator})",
            ),
            cloud=cloud,
            cloud_basis=basis,
            grade="exact",
            not_measured=not_measured,
        )


KIND = QemuAarch64()
