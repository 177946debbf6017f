"""What a target can do at most: multiply-accumulates and bytes per second at a precision. Arithmetic on clocks only."""

from dataclasses import dataclass

from pipeline.records.targets import Precision, Target

BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 1}
_SSE_MACS_PER_CYCLE: dict[Precision, int] = {"fp32": 4, "fp16": 4, "int8": 8}  # one MULPS + ADDPS; PMADDUBSW + PMADDWD
_GPU_TILE = 128  # outputs of one channel that a depthwise kernel works on at once


@dataclass(frozen=True)
class Machine:
    """Ceilings of a SoC in one power mode at one precision."""

    is_gpu: bool
    gmac_s: float
    float_gmac_s: float  # the same in FP32; published TX2 depthwise layers are no faster in FP16
    bandwidth_gb_s: float
    clock_ghz: float
    bytes_per_element: int

    @property
    def depthwise_tile(self) -> int:
        """Outputs of one channel that are computed at once; a smaller map leaves the rest idle."""
        return _GPU_TILE if self.is_gpu else 1


def gpu(lanes: int, clock_ghz: float, bandwidth_gb_s: float, precision: Precision) -> Machine:
    """A GPU: one multiply-accumulate per lane (a CUDA core) and cycle, two in FP16."""
    peak = lanes * clock_ghz
    doubled = 2 if precision == "fp16" else 1
    return Machine(True, peak * doubled, peak, bandwidth_gb_s, clock_ghz, BYTES[precision])


def cpu(cores: int, clock_ghz: float, bandwidth_gb_s: float, precision: Precision) -> Machine:
    """A CPU with 128-bit vectors: four FP32 multiply-accumulates per core and cycle, eight in INT8."""
    peak = cores * clock_ghz
    macs = _SSE_MACS_PER_CYCLE
    return Machine(False, peak * macs[precision], peak * macs["fp32"], bandwidth_gb_s, clock_ghz, BYTES[precision])


def machine(target: Target, precision: Precision) -> Machine:
    """The machine that a target profile describes; a CPU is taken at its burst clock."""
    bandwidth = target.memory.bandwidth_gb_s
    if target.gpu is not None:
        return gpu(target.gpu.lanes, target.gpu.clock_ghz, bandwidth, precision)
    return cpu(target.cpu.cores, target.cpu.burst_ghz, bandwidth, precision)
