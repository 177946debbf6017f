"""The agent of a device: verified updates of its model, and records of how it is.

    python3 -m runners.agent run

Needs python-tuf and urllib3, and no more than Python 3.8. Status 0: fine; 1: something was refused, or what runs is not
as it should be; 2: the command or the configuration is wrong; 3: not now, or not known yet.
"""

import argparse
import json
import os
import signal
import sys
from typing import Any, Dict, List, Optional

HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:] = [HOUSE] + [folder for folder in sys.path if folder != HOUSE]

from runners.agent import agent_config, by_hand, polling  # noqa: E402 (found by its place, as in runners/edge)
from runners.agent.troubles import Rejected, Unavailable, Untrusted  # noqa: E402
from runners.agent.updating import Device, log  # noqa: E402
from runners.agent.upload import inbox_url  # noqa: E402
from runners.agent.upload.sender import Sender  # noqa: E402
from runners.agent.upload.uploading import Uploads  # noqa: E402
from runners.contract import device_status  # noqa: E402
from runners.edge.bell import Bell  # noqa: E402
from runners.edge.refused import Refused  # noqa: E402

PATIENCE_S = 60.0  # with an agent that looks for updates or after a trial just now


def main(arguments: Optional[List[str]] = None) -> int:
    """Entry point; the exit status."""
    given = _parser().parse_args(arguments)
    try:
        config = agent_config.read(given.config)
        if given.verb == "status" and not os.path.isdir(given.home):  # who only looks makes no folder
            raise Refused("{}: there is no such folder; no agent has worked there yet".format(given.home))
        device = Device(given.home, config)
        return int(given.start(device, given))
    except (Refused, Untrusted, Rejected, Unavailable, OSError) as error:
        log("agent {}: {}".format(given.verb, error))
        if isinstance(error, Refused):
            return 2
        return polling.REFUSED if isinstance(error, (Untrusted, Rejected)) else polling.NOT_NOW


def _parser() -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="agent", description=__doc__, formatter_class=formatter)
    parser.add_argument("--config", default=agent_config.FILE, metavar="FILE", help="default: " + agent_config.FILE)
    parser.add_argument("--home", default=agent_config.HOME, metavar="FOLDER", help="default: " + agent_config.HOME)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, start, text in (
        ("run", _run, "look for updates again and again, until SIGTERM"),
        ("once", _once, "look for updates once"),
        ("install", _install, "install from a folder with metadata/ and targets/, or a bundle"),
        ("confirm", _confirm, "call the bundle on trial good"),
        ("roll-back", _roll_back, "go back from the bundle on trial to what ran before"),
        ("status", _status, "say what runs, and how it is; 1: not well, 3: on trial, no model, or never tested"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.set_defaults(start=start)
        if name == "install":
            verb.add_argument("path", metavar="FILE_OR_FOLDER")
            text = "the trial ends by `confirm` or `roll-back`, not by its minutes"
            verb.add_argument("--confirm-later", action="store_true", help=text)
        if name == "status":
            verb.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _run(device: Device, given: argparse.Namespace) -> int:
    bell = Bell()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: bell.ring())
    sender = None
    if device.config.inbox is not None:
        uploads = Uploads(given.home, device.config.device, inbox_url.parse(device.config.inbox))
        sender = Sender(uploads, log).start()
    config = device.config
    where = "{} for {}/{}".format(config.metadata_url, config.channel, config.target)
    log("looks at {} every {:g} minutes, give or take a tenth".format(where, config.interval_minutes))
    polling.Poller(device, bell).run()
    if sender is not None:
        sender.close()
    return 0


def _once(device: Device, _: argparse.Namespace) -> int:
    with device.alone(PATIENCE_S):
        device.watch()
        device.check_numerics()
        found = polling.look(device)
        device.tell_daily()
    log(found.said)
    return found.status


def _install(device: Device, given: argparse.Namespace) -> int:
    with device.alone(PATIENCE_S):
        version = by_hand.install(device, given.path, confirm_later=given.confirm_later)
    log("{} is {}".format(version, "on trial" if device.state.trial is not None else "installed"))
    return 0


def _confirm(device: Device, _: argparse.Namespace) -> int:
    with device.alone(PATIENCE_S):
        device.confirm()
    return 0


def _roll_back(device: Device, _: argparse.Namespace) -> int:
    with device.alone(PATIENCE_S):
        device.roll_back("taken back by hand")
    return 0


def _status(device: Device, given: argparse.Namespace) -> int:
    status, trial = device.status(), device.state.trial
    facts: Dict[str, Any] = device_status.as_json(status)
    facts.update(slot=device.slots.current, metadata=device.trusted.versions)
    facts["confirm_later"] = trial is not None and trial.by_hand
    if given.json:
        print(json.dumps(facts, indent=2))
    else:
        facts["metadata"] = ", ".join("{} {}".format(*one) for one in device.trusted.versions.items()) or "none yet"
        print("\n".join("{}: {}".format(name, _shown(value)) for name, value in facts.items() if value is not None))
    if status.self_test == "fail" or status.state == "rolled_back":
        return polling.REFUSED
    return 0 if status.state == "running" and status.self_test == "pass" else polling.NOT_NOW


def _shown(value: Any) -> Any:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


if __name__ == "__main__":
    sys.exit(main())
