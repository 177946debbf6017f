"""`python3 -m runners.edge.events FOLDER [--after SEQ]`: print the events in a folder, one line each."""

import argparse
import sys

from runners.contract.event import to_line
from runners.edge.aloud import say
from runners.edge.events.segments import Events


def main() -> int:
    """Print; 0, or 2 where there is no such folder."""
    parser = argparse.ArgumentParser(prog="python3 -m runners.edge.events", description=__doc__.split(": ", 1)[1])
    parser.add_argument("folder")
    parser.add_argument("--after", type=int, default=0, metavar="SEQ", help="only events after this sequence number")
    chosen = parser.parse_args()
    events = Events(chosen.folder)
    try:
        for event in events.after(chosen.after):
            sys.stdout.buffer.write(to_line(event))
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        say("{}: {}".format(chosen.folder, error.strerror))
        return 2
    if events.skipped:
        say("{}: {} damaged lines skipped".format(chosen.folder, events.skipped))
    return 0


if __name__ == "__main__":
    sys.exit(main())
