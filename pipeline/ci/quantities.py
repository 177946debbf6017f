"""The quantities that a run is shown by, in the order of the columns. One that no record has gets no column."""

from dataclasses import dataclass

from pipeline.ci.run_record import Number
from pipeline.records.words import number


@dataclass(frozen=True)
class Quantity:
    """Head and unit of a column, in which a record's number is multiplied by `scale`; whether more of it is better."""

    name: str
    head: str
    unit: str
    more_is_better: bool = False
    scale: float = 1.0

    def text(self, value: float) -> str:
        """A value as people read it, with as many digits as mean something."""
        return number(value * self.scale, self._digits(value))

    def spread(self, found: Number) -> str:
        """What goes behind ±: half the interval; nothing where there is none."""
        if found.low is None or found.high is None:
            return ""
        return f" ± {number((found.high - found.low) / 2 * self.scale, self._digits(found.value))}"

    def change(self, before: float, now: float) -> str:
        """The difference with its sign; empty where the same is shown."""
        if self.text(now) == self.text(before):
            return ""
        return f"{'+' if now > before else '−'}{self.text(abs(now - before))}"

    def _digits(self, value: float) -> int:
        if self.unit in ("%", "points", "MB"):
            return 2
        return 0 if value >= 10 else 1 if value >= 1 else 2


QUANTITIES = (
    Quantity("accuracy_percent", "accuracy", "%", more_is_better=True),
    Quantity("accuracy_drop_points", "drop", "points"),
    Quantity("frames_per_s", "loop", "frames/s", more_is_better=True),
    Quantity("regions_per_s", "network", "regions/s", more_is_better=True),
    Quantity("power_w", "power", "W"),
    Quantity("download_bytes", "download", "MB", scale=1e-6),
)
BY_NAME = {quantity.name: quantity for quantity in QUANTITIES}
