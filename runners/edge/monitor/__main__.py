"""Watch this board: watts of its rails, clocks, temperatures, and whether it holds itself back.

    python3 -m runners.edge.monitor --target atom-x5-e3940 --seconds 10
    python3 -m runners.edge.monitor --list

Status 0: power was measured; 3: it was not, and the reason is printed; 2: the command was wrong. Must run on Python 3.6
with the standard library; `--target` needs PyYAML, which Ubuntu has as python3-yaml.
"""

import argparse
import json
import os
import sys
import time
from contextlib import suppress
from typing import Any, Dict, Iterator, List, Optional, Tuple

from runners.edge.arguments import seconds
from runners.edge.health import fingerprint
from runners.edge.meters import kind, names
from runners.edge.monitor.figures import Figures, figures
from runners.edge.monitor.monitor import HZ, MOST_HZ, Monitor
from runners.edge.own_package import REPOSITORY

MEASURED, NOT_MEASURED = 0, 3
LIKELY = {"rapl": "package-0", "ina3221": "VDD_IN", "ina2xx": "1-0040"}  # to say why even that is not there


def main(arguments: Optional[List[str]] = None) -> int:
    """Entry point; the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m runners.edge.monitor", description=__doc__.splitlines()[0])
    parser.add_argument("--target", help="the meter and rails of this target: a name in runners/targets, or a file")
    parser.add_argument("--meter", choices=names(), help="the meter (default: the first that finds a rail here)")
    parser.add_argument("--rail", action="append", metavar="NAME", help="a rail, or for `command` the command line")
    parser.add_argument("--seconds", type=seconds, default=10, help="how long to watch (default 10)")
    parser.add_argument("--hz", type=float, default=HZ, help="readings a second (default 10)")
    parser.add_argument("--state", default="now", help="what the board is doing, for the record (default: now)")
    parser.add_argument("--list", action="store_true", help="list the rails of this board and stop")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--root", default="/", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if not 0 < given.hz <= MOST_HZ:
        parser.error("--hz must be above 0 and at most {:g}".format(MOST_HZ))
    if given.list:
        return _list(given.root, given.json)
    try:
        name, rails = _choice(given)
    except ValueError as error:
        parser.error(str(error))
    # Ctrl-C: enough is seen, and what was read until then counts.
    with Monitor(name, rails, given.hz, given.root) as monitor, monitor.state(given.state), suppress(KeyboardInterrupt):
        time.sleep(given.seconds)
    found = figures(monitor.recording, monitor.states)
    board, unknown = fingerprint.read(given.root)
    reasons = dict(found.not_measured, **{"fingerprint." + field: why for field, why in unknown.items()})
    if given.json:
        print(json.dumps(dict(found._asdict(), fingerprint=board, not_measured=reasons), indent=2))
    else:
        for line in _lines(name, rails, found, board, reasons):
            # Python 3.6 over SSH without a locale can print nothing else.
            print(line.encode("ascii", "backslashreplace").decode("ascii"))
    return MEASURED if found.power else NOT_MEASURED


def _choice(given: argparse.Namespace) -> Tuple[str, List[str]]:
    """Meter and rails as asked for; else the first that this board has, or should have.

    Raises:
        ValueError: the target cannot be read, or two things are asked for at once.
    """
    if given.target:
        if given.meter or given.rail:
            raise ValueError("--target names meter and rails: give no other")
        return _of_target(given.target)
    if given.rail and not given.meter:
        raise ValueError("--rail needs the --meter that it is one of")
    for name in [given.meter] if given.meter else names():
        rails = given.rail or kind(name).rails(given.root)[:1]
        if rails:
            return name, rails
    if given.meter == "command":
        raise ValueError("--meter command needs a --rail, which is the command")
    name = given.meter or ("rapl" if os.uname().machine == "x86_64" else "ina3221")
    return name, [LIKELY[name]]


def _of_target(target: str) -> Tuple[str, List[str]]:
    try:
        import yaml
    except ImportError:
        raise ValueError("--target needs PyYAML (Ubuntu: python3-yaml); or give --meter and --rail") from None
    folder = os.path.join(REPOSITORY, "runners", "targets")
    path = target if os.path.isfile(target) else os.path.join(folder, target + ".yaml")
    try:
        with open(path, encoding="utf-8") as stream:
            power = yaml.safe_load(stream)["power"]
        if not isinstance(power["rails"], list):
            raise TypeError
        return str(power["sampler"]), [str(rail) for rail in power["rails"]]
    except OSError:
        known = sorted(name[: -len(".yaml")] for name in os.listdir(folder) if name.endswith(".yaml"))
        raise ValueError("no target {}: there are {}".format(target, ", ".join(known))) from None
    except (yaml.YAMLError, KeyError, TypeError):
        raise ValueError("{}: names no power meter with its rails".format(path)) from None


def _list(root: str, as_json: bool) -> int:
    found = {name: kind(name).rails(root) for name in names()}
    if as_json:
        print(json.dumps(found, indent=2))
        return MEASURED
    for name in names():
        print("{:10}{}".format(name, ", ".join(found[name]) or ("any command" if name == "command" else "none here")))
    return MEASURED


def _lines(
    name: str, rails: List[str], found: Figures, board: Dict[str, Any], reasons: Dict[str, str]
) -> Iterator[str]:
    yield "board       {}".format(", ".join(filter(None, (board["board"], board["soc"], board["os_image"]))))
    if found.power:
        for state, watts in sorted(found.power["by_state_w"].items()):
            mode = " ({})".format(found.power["mode"]) if found.power["mode"] else ""
            yield "{:12}{:.2f} W on {} by {}{}".format(state, watts, "+".join(rails), name, mode)
        core = found.power["own_core"]
        where = "core {} of its own".format(core) if core is not None else "a core that it shares"
        text = "readings    {:.1f} a second, none for at most {:.2f} s; on {}"
        yield text.format(found.power["sample_hz"], found.power["longest_gap_s"], where)
    for moment, health in (("before", found.before), ("during", found.during), ("after", found.after)):
        clocks = ["{} {:.0f} MHz".format(*clock) for clock in sorted(health.get("clocks_mhz", {}).items())]
        zones = ["{} {:.1f} C".format(*zone) for zone in sorted(health.get("temperatures_c", {}).items())]
        fan = health.get("fan_percent")
        fans = [] if fan is None else ["fan {:.0f} %".format(fan)]
        yield "{:12}{}".format(moment, ", ".join(clocks + zones + fans) or "nothing to be read")
    throttled = {True: "yes: " + "; ".join(found.during.get("signs", [])), False: "no", None: "not known"}
    yield "throttled   {}".format(throttled[found.during.get("throttled")])
    for what, why in sorted(reasons.items()):
        yield "not measured: {}: {}".format(what, why)


if __name__ == "__main__":
    sys.exit(main())
