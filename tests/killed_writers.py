"""`killed_writers.py FOLDER TIMES SEED`: write events in a process that is killed at a random moment, again and again.

After each kill every event that the writer called acknowledged must be in the folder, whole, and the numbers without a
gap. Prints how many were acknowledged. Forks, so it is a program of its own; standard library.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from runners.edge.events.segments import Events
from runners.edge.events.writer import Writer

LONGEST_S = 0.01


def write(folder: str, told: int, seed: int) -> None:
    """Until killed."""
    chance = random.Random(seed)
    writer = Writer(folder, lambda seq: os.write(told, b"%d\n" % seq), most_bytes=1 << 24)
    while True:
        writer.put("person", text="é" * chance.randrange(200))
        if chance.random() < 0.1:
            time.sleep(0.001)


def main(folder: str, times: int, seed: int) -> None:
    chance, last, total = random.Random(seed), 0, 0
    Path(folder).mkdir()
    for _ in range(times):
        heard, told = os.pipe()
        child = os.fork()
        if child == 0:
            write(folder, told, chance.randrange(1 << 30))
        os.close(told)
        with os.fdopen(heard) as stream:
            acknowledged = [int(stream.readline()) for _ in range(chance.randrange(4))]  # or while it opens the folder
            time.sleep(chance.uniform(0, LONGEST_S))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            acknowledged += [int(line) for line in stream]
        found = [event.seq for event in Events(folder).after(last)]
        assert found == list(range(last + 1, last + 1 + len(found))), f"a gap after {last}"
        if acknowledged:
            assert found, f"none of {acknowledged} is there"
            assert found[-1] >= acknowledged[-1], f"{acknowledged[-1]} lost"
            total += acknowledged[-1] - last
        last = found[-1] if found else last
    print(total)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
