"""Say what this board is and how it is: fingerprint, power rails, clocks, temperatures, signs of throttling.

    python3 -m runners.edge facts --json

Numbers are compared under equal fingerprints only. Status 0, also where something cannot be read: that is null, with
the reason under `not_measured`. Needs Python 3.6 and no package.
"""

import argparse
import json
from typing import Any, Dict, Iterator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--root", default="/", help=argparse.SUPPRESS)


def run(given: argparse.Namespace) -> int:
    """Print it; the exit status."""
    found = _facts(given.root)
    if given.json:
        print(json.dumps(found))
        return 0
    for line in _lines(found):
        print(line.encode("ascii", "backslashreplace").decode("ascii"))
    return 0


def _facts(root: str) -> Dict[str, Any]:
    from runners.edge.health import fingerprint, snapshot, throttling
    from runners.edge.meters import kind, names

    board, reasons = fingerprint.read(root)
    now = snapshot.Board(root).snapshot()
    return {
        "fingerprint": board,
        "rails": {name: kind(name).rails(root) for name in names()},
        "clocks_mhz": {name: clock.mhz for name, clock in now.clocks.items()},
        "temperatures_c": now.temperatures_c,
        "throttled_by": throttling.signs([now]),
        "not_measured": reasons,
    }


def _lines(found: Dict[str, Any]) -> Iterator[str]:
    for name, value in sorted(found["fingerprint"].items()):
        if name != "versions" and value is not None:
            yield "{:12}{}".format(name, value)
    for name, version in sorted(found["fingerprint"]["versions"].items()):
        yield "{:12}{} {}".format("", name, version)
    for meter, rails in sorted(found["rails"].items()):
        if rails:
            yield "{:12}{}".format(meter, ", ".join(rails))
    clocks = ["{} {:.0f} MHz".format(*clock) for clock in sorted(found["clocks_mhz"].items())]
    zones = ["{} {:.1f} C".format(*zone) for zone in sorted(found["temperatures_c"].items())]
    yield "{:12}{}".format("now", ", ".join(clocks + zones) or "nothing to be read")
    for sign in found["throttled_by"]:
        yield "throttled   {}".format(sign)
    for what, why in sorted(found["not_measured"].items()):
        yield "not known: {}: {}".format(what, why)
