"""FP16 on a GPU that cannot be emulated exactly: an interval, whose worse end counts.

Which kernel TensorRT's builder or OpenVINO's plugin picks, and so whether a layer adds up in FP32 or FP16, is known on
the board only.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.arithmetic.kinds import Kind, Plan, needs_onnx
from pipeline.processes import host
from pipeline.processes.child import Place
from pipeline.records.targets import Precision, Target

if TYPE_CHECKING:
    from onnx import ModelProto

    from pipeline.arithmetic.fp16.engine import Fp16Engine

BACKEND = "pipeline.arithmetic.fp16.engine"


class Fp16Boundaries(Kind):
    """FP16 at every fused layer's boundary, with FP32 sums and with FP16 sums."""

    def explain(self, target: Target) -> str:
        """How the emulation works."""
        return (
            "the ONNX graph is re-written to round to FP16 at every fused layer's boundary, once with FP32 sums and "
            "once with FP16 sums; the worse one counts, since the GPU cannot be emulated exactly"
        )

    def refusal(self, model: Path, target: Target) -> str | None:
        """The graph is re-written as ONNX."""
        return needs_onnx(model, target)

    def plan(self, target: Target, precision: Precision) -> Plan:
        """FP32 is what this machine calculates; FP16 lies between two ways to add up."""
        here = Place("this machine", "pipeline.processes.backends.onnxruntime_cpu", host.CORES)
        if precision != "fp16":
            return Plan(host=here, target=here, cloud=here, cloud_basis="measured", grade="bounded")
        bounds = {
            f"{sums}_sums": Place(
                f"{target.name}, sums in {sums.upper()}",
                BACKEND,
                threads,
                where="in the target's arithmetic on this machine",
                copies=copies,
                settings={"accumulate": sums},
            )
            for sums, threads, copies in (("fp32", host.CORES, 1), ("fp16", 1, host.CORES))
        }
        return Plan(
            host=here,
            bounds=bounds,
            cloud=here,
            cloud_basis="measured",
            grade="bounded",
            layers_from="fp16_sums",
        )

    def fp16_engine(self, model: "ModelProto", threads: int) -> "Fp16Engine":
        """With sums in FP32, as TensorRT 8.2 may calculate it on a GPU without Tensor Cores."""
        from pipeline.arithmetic.fp16.engine import engine_of

        return engine_of(model, threads)


KIND = Fp16Boundaries()
