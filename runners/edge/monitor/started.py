"""How long this process has been running: what a start costs, Python's own loading included. Python 3.6, Linux."""

import os


def since_start_s() -> float:
    """Seconds since this process was started, to a hundredth, as the kernel knows them."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as stream:
        # The program's name, in brackets, may hold spaces and brackets; the start is the 22nd field.
        ticks = int(stream.read().rpartition(")")[2].split()[19])
    with open("/proc/uptime", encoding="ascii") as stream:
        return float(stream.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
