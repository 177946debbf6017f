"""`python3 -m runners.agent.upload HOME [--config FILE]`: send once what waits.

Status 0: all of it is in the inbox; 1: some is left, and a line says why; 2: HOME or the configuration is wrong.
"""

import argparse
import os
import sys

from runners.agent.upload.inbox_url import parse
from runners.agent.upload.uploading import Uploads
from runners.contract import records
from runners.edge.aloud import say


def main() -> int:
    """Send; the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m runners.agent.upload", description=__doc__.split("`: ", 1)[1])
    parser.add_argument("home", metavar="HOME", help="the device's folder")
    parser.add_argument("--config", metavar="FILE", default="/etc/edgeproof/agent.json", help="(default: %(default)s)")
    given = parser.parse_args()
    try:
        content = records.load(given.config)
        device = records.checked(content, {"device": str})["device"]
        if not records.is_name(device):
            raise ValueError("device: give letters, digits and _.+- only")
        if not content.get("inbox"):
            raise ValueError("it names no `inbox`, so nothing is sent")
        inbox = parse(content["inbox"])
    except ValueError as error:
        say("upload: {}: {}".format(given.config, error))
        return 2
    if not os.path.isdir(given.home):
        say("upload: {}: there is no such folder".format(given.home))
        return 2
    outcome = Uploads(given.home, device, inbox).once()
    print("{} records and {} captures sent, {} left".format(outcome.records, outcome.captures, outcome.left))
    if outcome.why is not None:
        say("upload: {}".format(outcome.why))
    return 0 if outcome.why is None else 1


if __name__ == "__main__":
    sys.exit(main())
