"""What the agent is told: /etc/edgeproof/agent.json.

    {"metadata_url": "https://example.org/metadata", "targets_url": "https://example.org/bundles",
     "channel": "stable", "target": "atom-x5-e3940", "device": "camera-17"}

Any key of `Config` may stand beside these.
"""

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union
from urllib.parse import urlsplit

from runners.agent.upload import inbox_url
from runners.contract import records
from runners.edge.refused import Refused

FILE, ROOT = "/etc/edgeproof/agent.json", "/etc/edgeproof/root.json"
HOME = "/var/lib/edgeproof"
LEAST_KIB = 8
WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


class Config(NamedTuple):
    """`root` is the file of TUF's root metadata that the device was shipped with.

    Updates are looked for every `interval_minutes`, and taken only within `window` (local time, "01:00-05:00") and
    while there is no file `inhibit`. `kib_per_second` bounds downloads. `camera_python` is the Python of the camera
    program, which has its runtime, `camera_device` the runtime's name of where the model is to calculate. A new model
    is on trial for `trial_minutes`, in which fewer than `least_fps` of the frames a second before (a share) is a
    failure. `inbox` is where the device sends its records and captures (upload/inbox_url.py); without one nothing is
    sent.
    """

    metadata_url: str
    targets_url: str
    channel: str
    target: str
    device: str
    root: str = ROOT
    interval_minutes: float = 60.0
    window: Optional[str] = None
    inhibit: str = "/run/edgeproof-inhibit"
    kib_per_second: Optional[int] = None
    camera_python: List[str] = ["/usr/bin/python3"]  # noqa: RUF012 (it is never changed)
    camera_device: str = ""
    trial_minutes: float = 10.0
    least_fps: float = 0.5
    inbox: Union[str, Dict[str, Any], None] = None

    @property
    def offers(self) -> Tuple[str, str]:
        """The TUF target that everybody runs, and the one that is being rolled out."""
        base = "{}/{}".format(self.channel, self.target)
        return base, base + ".next"


_NOTHING = type(None)
KINDS: records.Kinds = {
    "metadata_url": str, "targets_url": str, "channel": str, "target": str, "device": str, "root": str,
    "interval_minutes": float, "window": (str, _NOTHING), "inhibit": str, "kib_per_second": (int, _NOTHING),
    "camera_python": list, "camera_device": str, "trial_minutes": float, "least_fps": float,
    "inbox": (str, dict, _NOTHING),
}  # fmt: skip


def read(file: str) -> Config:
    """The configuration in a file.

    Raises:
        Refused: it is missing, damaged, or says what cannot be.
    """
    if not os.path.exists(file):
        needed = ", ".join(name for name in Config._fields if name not in Config._field_defaults)
        raise Refused("{}: there is no such file; write the agent's configuration: {}".format(file, needed))
    try:
        content = records.load(file)
        unknown = sorted(set(content) - set(KINDS))
        if unknown:
            raise ValueError("{} is no key of it; there are {}".format(unknown[0], ", ".join(KINDS)))
        given = {**Config._field_defaults, **content}
        config = Config(**records.checked(given, KINDS))
        _check(config)
    except ValueError as error:
        raise Refused("{}: no configuration of the agent: {}".format(file, error)) from error
    return config


def _check(config: Config) -> None:
    for key in ("channel", "target", "device"):
        if not records.is_name(getattr(config, key)):
            raise ValueError("{}: give letters, digits and _.+- only".format(key))
    for key in ("metadata_url", "targets_url"):
        if not re.match(r"(https?|file)://", getattr(config, key)):
            raise ValueError("{}: give a URL that starts with https://, http:// or file://".format(key))
        try:
            urlsplit(getattr(config, key)).port  # noqa: B018 (which is read, and may be none)
        except ValueError as error:
            raise ValueError("{}: cannot be read ({})".format(key, error)) from error
    if config.window is not None and not WINDOW.fullmatch(config.window):
        raise ValueError('window: give two times, as in "01:00-05:00"')
    if config.window is not None and len(set(config.window.split("-"))) == 1:
        raise ValueError("window: begins and ends at the same time, so it never opens; leave it out for all day")
    if not 1 <= config.interval_minutes <= 7 * 24 * 60 or not 0 <= config.trial_minutes <= 24 * 60:
        raise ValueError("interval_minutes must be 1 minute to 7 days, trial_minutes at most a day")
    if config.kib_per_second is not None and config.kib_per_second < LEAST_KIB:
        raise ValueError("kib_per_second: give at least {}".format(LEAST_KIB))
    if not 0 <= config.least_fps <= 1:
        raise ValueError("least_fps: give a share, 0 to 1")
    if not config.camera_python or not all(isinstance(word, str) for word in config.camera_python):
        raise ValueError("camera_python: give a command as a list of words")
    if config.inbox is not None:
        inbox_url.parse(config.inbox)
    if not os.path.isfile(config.root):
        raise ValueError("root: {} is missing; copy the root.json of your releases there".format(config.root))


def is_within(window: Optional[str], hour: int, minute: int) -> bool:
    """Whether a time of day is in a window, which may go over midnight."""
    found = WINDOW.fullmatch(window) if window else None
    if found is None:
        return True
    numbers = [int(part) for part in found.groups()]
    start, end, now = 60 * numbers[0] + numbers[1], 60 * numbers[2] + numbers[3], 60 * hour + minute
    return start <= now < end if start <= end else now >= start or now < end
