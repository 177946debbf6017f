"""x86 CPUs without VNNI: OpenVINO held to the target's instruction set.

Such CPUs multiply 8-bit numbers with `pmaddubsw`, whose 16-bit sums saturate. A cloud CPU with VNNI does not, so only
a run with the target's kernels shows what the target will answer. oneDNN reads the cap once, when it loads; hence a
process of its own.
"""

from pipeline.arithmetic.kinds import Kind, Plan
from pipeline.processes import host
from pipeline.processes.child import Place
from pipeline.records.targets import Precision, Target

BACKEND = "pipeline.processes.backends.openvino_cpu"
ANALYSIS = "pipeline.arithmetic.saturation.backend"


class CappedIsa(Kind):
    """The exported model in OpenVINO's own kernels for the target's instruction set."""

    saturates = True

    def explain(self, target: Target) -> str:
        """How the emulation works."""
        cap = ", ".join(f"{name}={value}" for name, value in target.emulation.environment.items())
        return f"the exported model runs in OpenVINO's own kernels for this instruction set, set by {cap}"

    def plan(self, target: Target, precision: Precision) -> Plan:
        """Under the cap and without it, side by side; INT8 is analysed, and simulated where this machine saturates."""
        quantized = precision == "int8"
        # Only 8-bit sums saturate, so FP32 on this machine is FP32 in any cloud.
        simulated = quantized and host.saturates()
        here = host_place(target)
        return Plan(
            host=here,
            target=target_place(target),
            cloud=host_place(target, saturating=False) if simulated else here,
            cloud_basis="simulated" if simulated else "measured",
            grade="unaudited",
            audit=audit_place(target),
            analysis=_analysis_place(target) if quantized else None,
        )


KIND = CappedIsa()


def target_place(target: Target) -> Place:
    """The target's arithmetic: its instruction set, threads and memory."""
    return Place(
        description=f"{target.name} arithmetic",
        backend=BACKEND,
        threads=target.cpu.cores,
        where="in the target's arithmetic on this machine",
        environment=dict(target.emulation.environment),
        memory_limit_mib=target.emulation.memory_limit_mib,
    )


def host_place(target: Target, *, saturating: bool = True) -> Place:
    """This machine as it is; without `saturating`, the same 8-bit values with sums that cannot overflow."""
    return Place(
        description="this machine" if saturating else "without saturation",
        backend=BACKEND,
        threads=target.cpu.cores,
        environment=_uncapped(target),
        settings={"saturating": saturating},
    )


def audit_place(target: Target) -> Place:
    """The same model on an emulated CPU of the target's kind, which needs no cap: it has no more than that."""
    return Place(
        description=f"audit on {target.emulation.emulator}",
        backend=BACKEND,
        threads=host.EMULATORS_THREADS,
        where=f"on the emulated CPU ({target.emulation.emulator})",
        environment=_uncapped(target),
    )


def _analysis_place(target: Target) -> Place:
    """What saturation does layer by layer, calculated on this machine."""
    return Place(
        description="saturation by layer",
        backend=ANALYSIS,
        threads=target.cpu.cores,
        where="in the analysis of layers on this machine",
        environment=_uncapped(target),
    )


def _uncapped(target: Target) -> dict[str, str | None]:
    return dict.fromkeys(target.emulation.environment)
