"""Re-test for x86 CPUs without VNNI: OpenVINO held to the target's instruction set.

Such CPUs multiply 8-bit numbers with `pmaddubsw`, whose 16-bit sums saturate. A cloud CPU with VNNI does not, so only
a run with the target's kernels shows what the target will answer. oneDNN reads the cap once, when it loads; hence a
process of its own.
"""

from pathlib import Path

from pipeline.retest.child import Place
from pipeline.targets import Target

# Strongest first: what decides how a CPU multiplies 8-bit numbers.
HOST_ISAS = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512bw", "avx2", "sse4_2")
WITHOUT_SATURATION = {"amx_int8", "avx512_vnni", "avx_vnni"}


def target_place(target: Target) -> Place:
    """The target's arithmetic: its instruction set, threads and memory."""
    return Place(
        description=f"{target.name} arithmetic",
        backend="openvino_cpu",
        threads=target.cpu.cores,
        environment=dict(target.emulation.environment),
        memory_limit_mib=target.emulation.memory_limit_mib,
    )


def host_place(target: Target, *, saturating: bool = True) -> Place:
    """This machine as it is; without `saturating`, the same 8-bit values with sums that cannot overflow."""
    return Place(
        description="this machine" if saturating else "without saturation",
        backend="openvino_cpu",
        threads=target.cpu.cores,
        environment=_uncapped(target),
        settings={"saturating": saturating},
    )


def analysis_place(target: Target) -> Place:
    """The saturation report."""
    return Place("saturation by layer", "saturation", target.cpu.cores, environment=_uncapped(target))


def audit_place(target: Target, launcher: list[str]) -> Place:
    """The same model on an emulated CPU of the target's kind, which needs no cap: it has no more than that."""
    return Place(
        description=f"audit on {target.emulation.emulator}",
        backend="openvino_cpu",
        threads=1,
        launcher=launcher,
        environment=_uncapped(target),
    )


def host_isa() -> str:
    """The strongest instruction set of this machine for 8-bit arithmetic, by its Linux name."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return "unknown"
    return next((isa for isa in HOST_ISAS if isa in flags), "unknown")


def host_saturates() -> bool:
    """Whether this machine's own 8-bit sums saturate; an unknown CPU is taken to."""
    return host_isa() not in WITHOUT_SATURATION


def _uncapped(target: Target) -> dict[str, str | None]:
    return dict.fromkeys(target.emulation.environment)
