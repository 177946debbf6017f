"""Where a track will be: a Kalman filter on the centre of its box, with a velocity that fades.

As in SORT (Bewley et al. 2016) the velocity is constant from frame to frame. Over a second in which nobody sees the
track it is not: people slow down and turn. So the velocity decays (Singer 1970), and what is not known of it grows
back to what people's velocities are. Lengths are in heights of the box and times in seconds, so that near and far
people, 10 and 30 frames a second, and frames that were dropped need no settings of their own. Left to right and up and
down share one covariance, which makes the filter a handful of scalar operations. Must run on Python 3.6.
"""

from math import exp
from typing import Tuple

from runners.edge.loop.regions import Box

SEEN = 0.08**2  # variance of a box's centre, from legs that swing and shadows that come and go
SPEED = 0.8**2  # variance of a velocity along one axis: a person walks about one height a second
TURN_S = 1.5  # after this time a velocity is mostly forgotten
RESIZED = 0.2  # standard deviation of a box's height, as a part of it
RESIZE = 0.2  # how much of a new box's size is believed


class Motion:
    """The centre, velocity and size of one track in the frame, pixels and pixels a second."""

    def __init__(self, box: Box) -> None:
        self.x, self.y = centre(box)
        self.vx = self.vy = 0.0
        self.width, self.height = float(box.w), float(box.h)
        self._place, self._both, self._speed = SEEN, 0.0, SPEED  # the covariance

    @property
    def box(self) -> Box:
        """The box as it should look now."""
        x, y = round(self.x - self.width / 2), round(self.y - self.height / 2)
        return Box(x, y, max(round(self.width), 1), max(round(self.height), 1))

    def predict(self, step_s: float) -> None:
        """Go `step_s` seconds on."""
        keep = exp(-step_s / TURN_S)
        reach = TURN_S * (1 - keep)  # the way that a velocity of 1 still goes in this step
        self.x, self.y = self.x + reach * self.vx, self.y + reach * self.vy
        self.vx, self.vy = keep * self.vx, keep * self.vy
        fresh = SPEED * (1 - keep * keep)  # what the step adds to the velocity's variance
        self._place += 2 * reach * self._both + reach * reach * self._speed + fresh * step_s * step_s / 3
        self._both = keep * (self._both + reach * self._speed) + fresh * step_s / 2
        self._speed = keep * keep * self._speed + fresh

    def surprise(self, x: float, y: float, height: float) -> float:
        """Squared Mahalanobis distance of a box's centre and height from what is predicted, in standard deviations."""
        away = ((x - self.x) ** 2 + (y - self.y) ** 2) / (self.height**2 * (self._place + SEEN))
        return away + ((height - self.height) / (RESIZED * max(height, self.height))) ** 2

    def update(self, box: Box) -> None:
        """Take the box for this track's and nobody else's."""
        x, y = centre(box)
        total = self._place + SEEN
        gain, push = self._place / total, self._both / total
        dx, dy = x - self.x, y - self.y
        self.x, self.y = self.x + gain * dx, self.y + gain * dy
        self.vx, self.vy = self.vx + push * dx, self.vy + push * dy
        self._speed -= push * self._both
        self._both *= 1 - gain
        self._place *= 1 - gain
        self.width += RESIZE * (box.w - self.width)
        self.height += RESIZE * (box.h - self.height)

    def confine(self, box: Box) -> None:
        """The track is somewhere in this box, which shows others too: no place, but a limit to it."""
        self.x = _within(self.x, box.x, box.w, self.width)
        self.y = _within(self.y, box.y, box.h, self.height)


def centre(box: Box) -> Tuple[float, float]:
    """The middle of a box."""
    return box.x + box.w / 2.0, box.y + box.h / 2.0


def _within(middle: float, start: int, length: int, own: float) -> float:
    free = max(length - own, 0.0) / 2
    return min(max(middle, start + length / 2.0 - free), start + length / 2.0 + free)
