"""What a smaller network has to reach: a share of its multiply-accumulates, or what is predicted for a target."""

from dataclasses import dataclass
from typing import Protocol

from pipeline.formats.graph.graph import Graph
from pipeline.predict import predict_graph
from pipeline.predict.frame import network_share_ms, unknown
from pipeline.predict.layers import layers_of
from pipeline.records.predictions import Prediction
from pipeline.records.targets import Precision, Target
from pipeline.system.errors import Unpredictable


class Budget(Protocol):
    """A limit that a network keeps once it is small enough."""

    def is_kept(self, graph: Graph) -> bool:
        """Whether the network of this graph is small enough."""

    def shortfall(self, graph: Graph) -> str:
        """How far off the network is, and what its user can do: `only ...; lower ...`."""


@dataclass(frozen=True)
class MacShare:
    """At most `share` of the multiply-accumulates that the whole network takes for one image."""

    share: float
    whole: int

    def is_kept(self, graph: Graph) -> bool:
        """Whether the network of this graph is small enough."""
        return macs(graph) <= self.share * self.whole

    def shortfall(self, graph: Graph) -> str:
        """How far off the network is, and what its user can do."""
        return f"still takes {macs(graph) / self.whole:.1%} of its MACs, not {self.share:.1%}; raise `macs`"


@dataclass(frozen=True)
class Objective:
    """At least `frames_per_s` predicted for the camera program on a target within its watts, all regions in one batch.

    The network gets the part of a frame's time that decoding, proposals, tracks and crops leave
    (`pipeline/predict/frame/`), and has to keep it also where it is as much slower as the prediction is typically off:
    on the limit itself, half of the candidates would miss it on the board. Watts are those at full speed, and no limit
    where nobody has published any to predict from. For INT8 every layer is taken as quantized; NNCF leaves
    squeeze-and-excite gates in FP32, so that MobileNetV3's file is predicted slower than the search believed (1.3 % at
    64x64 pixels).
    """

    target: Target
    precision: Precision
    frames_per_s: float

    def is_kept(self, graph: Graph) -> bool:
        """Whether the network of this graph is predicted to be fast enough within the target's watts."""
        found = self._predicted(graph)
        within = found.power_w is None or found.power_w <= self.target.objective.power_w
        return within and _slow_ms(found) <= self._share_ms(graph)

    def shortfall(self, graph: Graph) -> str:
        """How far off the network is, and what its user can do."""
        found, where = self._predicted(graph), f"(predicted, {self.precision}) on {self.target.name}"
        if _slow_ms(found) <= (share_ms := self._share_ms(graph)):
            return f"takes {found.power_w:.2f} W {where}, not {self.target.objective.power_w:g}; raise `power_w` there"
        return (
            f"takes {_slow_ms(found):.1f} ms a frame {where}, of which {max(share_ms, 0):.1f} are left for it at "
            f"{self.frames_per_s:g} frames/s; lower `frames_per_s`"
        )

    def _predicted(self, graph: Graph) -> Prediction:
        return predict_graph(graph, self.target, self.precision, self.target.objective.regions_per_frame)

    def _share_ms(self, graph: Graph) -> float:
        regions = self.target.objective.regions_per_frame
        share_ms = network_share_ms(self.target, self.frames_per_s, regions, graph.values)
        if share_ms is None:
            raise Unpredictable(unknown(self.target))
        return share_ms


def _slow_ms(found: Prediction) -> float:
    return found.latency_ms / max(1 - found.error_percent / 100, 0.01)


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one image."""
    return sum(layer.macs for layer in layers_of(graph))
