"""What a smaller network has to reach: a share of its multiply-accumulates, or what is predicted for a target."""

from dataclasses import dataclass
from typing import Protocol

from pipeline.formats.graph.graph import Graph
from pipeline.predict import predict_graph
from pipeline.predict.layers import layers_of
from pipeline.records.predictions import Prediction
from pipeline.records.targets import Precision, Target


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
    """At least `regions_per_s` predicted for a target within its watts, all regions of a frame in one batch.

    Compared is the prediction as it stands, as in a report: its error lies on both sides. Whoever wants to be on the
    safe side of it asks for more regions/s. Watts are those at full speed, and no limit where nobody has published any
    to predict from. For INT8 every layer is taken as quantized; NNCF leaves squeeze-and-excite gates in FP32, so that
    MobileNetV3's file is predicted slower than the search believed (1.3 % at 64x64 pixels).
    """

    target: Target
    precision: Precision
    regions_per_s: float

    def is_kept(self, graph: Graph) -> bool:
        """Whether the network of this graph is predicted to be fast enough within the target's watts."""
        found = self._predicted(graph)
        within = found.power_w is None or found.power_w <= self.target.objective.power_w
        return within and found.inferences_per_s >= self.regions_per_s

    def shortfall(self, graph: Graph) -> str:
        """How far off the network is, and what its user can do."""
        found, where = self._predicted(graph), f"(predicted, {self.precision}) on {self.target.name}"
        if found.inferences_per_s >= self.regions_per_s:
            return f"takes {found.power_w:.2f} W {where}, not {self.target.objective.power_w:g}; raise `power_w` there"
        return (
            f"reaches only {found.inferences_per_s:.1f} regions/s {where}, not {self.regions_per_s:g}; "
            "lower `regions_per_s`"
        )

    def _predicted(self, graph: Graph) -> Prediction:
        return predict_graph(graph, self.target, self.precision, self.target.objective.regions_per_frame)


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one image."""
    return sum(layer.macs for layer in layers_of(graph))
