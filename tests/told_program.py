"""`told_program.py FD ARGUMENT…`: the camera program, which writes each number that is acknowledged to FD.

Cameras that are lost are tried again soon. With JUMPING_CLOCK the wall clock is set by up to an hour to and fro at each
question; no other clock is touched.
"""

import os
import random
import sys
import time

from runners.edge import __main__ as edge
from runners.edge.camera import supervisor
from runners.edge.commands import run as command


def main() -> int:
    told, original, wall = int(sys.argv[1]), command.run, time.time
    supervisor.FIRST_PAUSE_S, supervisor.LONGEST_PAUSE_S = 0.05, 0.2
    if "JUMPING_CLOCK" in os.environ:
        time.time = lambda: wall() + random.uniform(-3600, 3600)
    command.run = lambda given: original(given, lambda seq: os.write(told, b"%d\n" % seq))
    return edge.main(["run", *sys.argv[2:]])


if __name__ == "__main__":
    sys.exit(main())
