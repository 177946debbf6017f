"""Why there is no update, each in one line. What is wrong with a command or the configuration is `Refused`."""


class Unavailable(Exception):
    """Something is not there now: the host, room on the disk, the camera's Python. It is tried again later."""


class WrongClock(Unavailable):
    """By the device's clock nothing can be said of what is signed. It is tried again when the clock is set."""


class Untrusted(Exception):
    """What the host sent is not what was signed for this device now. What runs keeps running; it is tried again."""


class Rejected(Exception):
    """A bundle came as it was signed and will not do. It is not tried again until what is signed of it changes."""
