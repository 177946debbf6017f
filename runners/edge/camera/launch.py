"""Becomes another program, one that ends when its parent does. Run as a file: `launch.py PARENT PROGRAM ARGUMENT…`.

A process of its own rather than `preexec_fn`: after a fork in a program with threads, only exec is safe.
"""

import ctypes
import os
import signal
import sys
from typing import List

PR_SET_PDEATHSIG = 1  # linux/prctl.h; it outlives exec


def main(arguments: List[str]) -> None:
    """Never returns."""
    parent, command = int(arguments[0]), arguments[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0) != 0:
        sys.exit("cannot ask to end with the parent: {}".format(os.strerror(ctypes.get_errno())))
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a program inherits that
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit("error: {}: {}".format(command[0], error.strerror))


if __name__ == "__main__":
    main(sys.argv[1:])
