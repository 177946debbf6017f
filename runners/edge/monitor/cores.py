"""A core for the monitor that the program which it watches does not use. Python 3.6, standard library."""

import os
from typing import Iterable, Optional

from runners.edge.health.clocks import cores_of
from runners.edge.sysfs import read_text

ONLINE = "/sys/devices/system/cpu/online"


def free_core(used: Iterable[int]) -> Optional[int]:
    """The last core that is online and not used; None where the program has them all."""
    online = cores_of(read_text(ONLINE)) or sorted(os.sched_getaffinity(0))
    return max(set(online) - set(used), default=None)


def move_to(core: Optional[int]) -> Optional[int]:
    """Stay on this core from now on; None where there is none, or it is not for us, and any core may be."""
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})
        return core
    except OSError:  # a container that may not use it
        return None
