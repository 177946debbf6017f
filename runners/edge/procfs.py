"""What the kernel knows of a process and of the machine's start. Python 3.6 and the standard library."""

import os
from typing import Iterable, List, Optional, Union

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def cpu_s(process: Union[int, str]) -> float:
    """CPU time of a process and of those of its children that it waited for, in seconds; 0 where it is gone."""
    try:
        with open("/proc/{}/stat".format(process), "rb") as stream:
            fields = stream.read().rsplit(b")", 1)[1].split()  # its name may hold anything
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) * _TICK_S  # utime, stime, cutime, cstime of proc(5)


def peak_memory_mib(process: str = "self") -> Optional[float]:
    """The most memory that a process has held; None where it is gone.

    Not by getrusage, which counts what its parent held when it was forked, too.
    """
    try:
        with open("/proc/{}/status".format(process), encoding="utf-8", errors="replace") as stream:
            lines = stream.read().splitlines()
    except OSError:
        return None
    return next((round(int(line.split()[1]) / 1024.0, 1) for line in lines if line.startswith("VmHWM")), None)


def age_s() -> float:
    """How long this process has been there, in seconds to a hundredth; Python's own loading is a part of it."""
    with open("/proc/uptime", encoding="ascii") as stream:
        up_s = float(stream.read().split()[0])
    with open("/proc/self/stat", "rb") as stream:
        return up_s - int(stream.read().rsplit(b")", 1)[1].split()[19]) * _TICK_S  # starttime of proc(5)


def threads() -> List[int]:
    """The threads of this process, those of libraries too."""
    return [int(name) for name in os.listdir("/proc/self/task")]


def threads_cpu_s(numbers: Iterable[int]) -> float:
    """CPU time that these threads of this process have taken, in seconds; without those that have ended."""
    total_s = 0.0
    for number in numbers:
        try:
            with open("/proc/self/task/{}/schedstat".format(number), encoding="ascii") as stream:
                total_s += int(stream.read().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):  # it has ended, or the kernel counts in ticks only
            total_s += cpu_s("self/task/{}".format(number))
    return total_s


def boot() -> str:
    """Tells one start of this machine from another."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read(8)
    except OSError:
        return "unknown"


def be_last() -> None:
    """Let every other process of this machine go first."""
    os.nice(10)
