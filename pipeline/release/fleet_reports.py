"""What devices say of a version: the newest status record of each, from an inbox that anybody may have written to."""

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from pipeline.system import files
from pipeline.system.errors import BadData, InputError, Missing, Refused
from pipeline.system.inbox import Inbox
from runners.contract import device_status, records
from runners.contract.device_status import DeviceStatus

MOST_DEVICES = 1_000_000
AT_ONCE = 8  # an OpenSSH server takes 10 sessions from one client
TRIED = 16  # records of a device, from the newest: one that cannot be read hides no older one
AHEAD_S = 2 * 24 * 3600.0  # a device's clock is wrong by; it may be right since, and have told so
RECORD = re.compile(r"\d{15}\.json")


@dataclass(frozen=True)
class Fleet:
    """The newest record of each device by its name, and how many records were none."""

    devices: Mapping[str, DeviceStatus]
    refused: int


def read_fleet(inbox: Path) -> Fleet:
    """Read `status/DEVICE/TIME.json` below a folder. Links, other files and damaged records are left alone.

    Raises:
        Missing: the folder is not there.
        Refused: it has more devices than any fleet of ours.
    """
    folder = inbox / device_status.FOLDER
    if not inbox.is_dir():
        raise Missing(f"{inbox}: no such folder; give what the devices' inbox was copied to")
    devices: dict[str, DeviceStatus] = {}
    refused = 0
    for name in _folders(folder):
        found, bad = _newest(folder / name, name)
        refused += bad
        if found is not None:
            devices[name] = found
        if len(devices) > MOST_DEVICES:
            raise Refused(f"{folder}: more than {MOST_DEVICES:,} devices; somebody fills the inbox")
    return Fleet(devices, refused)


def fetch(address: str, folder: Path) -> int:
    """Copy the newest record of each device that is one to `folder`, from wherever the inbox lies; how many.

    Raises:
        InputError: the inbox cannot be read, or the folder is there already. No message shows the address's password.
    """
    if os.path.lexists(folder):
        raise InputError(f"{folder}: exists already; name a new folder")
    files.check_place(folder)
    with files.replacing_folder(folder) as temporary, Inbox(address) as inbox:
        listed = inbox.entries(device_status.FOLDER)
        names = [one.name for one in listed if one.kind == "directory" and records.is_name(one.name)]
        if len(names) > MOST_DEVICES:
            raise Refused(f"{inbox.place}: more than {MOST_DEVICES:,} devices; somebody fills the inbox")
        # A far server answers many questions in the time of one.
        with ThreadPoolExecutor(AT_ONCE) as pool:
            done = [pool.submit(_copy_newest, inbox, name, temporary) for name in names]
            try:
                waited = tqdm(done, desc="fetching reports", unit="device", disable=None)
                return sum(one.result() for one in waited)
            finally:
                pool.shutdown(cancel_futures=True)


def _copy_newest(inbox: Inbox, device: str, to: Path) -> bool:
    """Copy the newest record of a device that is one; whether there is any that may be read."""
    place = f"{device_status.FOLDER}/{device}"
    try:
        found = [one.name for one in inbox.entries(place) if one.kind == "file" and RECORD.fullmatch(one.name)]
    except BadData:  # a device whose folder nobody may list does not stop the others
        return False
    for name in _newest_first(found):
        try:
            content = inbox.read(f"{place}/{name}", device_status.MOST_BYTES + 1)
        except BadData:  # gone by now, or nobody may read it
            continue
        if _valid(content, device, name) is not None:
            files.write_bytes(to / place / name, content)
            return True
    return False


def _valid(content: bytes, device: str, name: str) -> DeviceStatus | None:
    """The record, if it is one and lies where it says."""
    try:
        status = device_status.from_json(records.parse(content, device_status.MOST_BYTES))
    except ValueError:
        return None
    return status if device_status.file_name(status) == f"{device_status.FOLDER}/{device}/{name}" else None


def _folders(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:  # nobody has reported yet
        return


def _newest(folder: Path, device: str) -> tuple[DeviceStatus | None, int]:
    """A device's newest record that is one, and how many newer ones are none."""
    if not records.is_name(device):
        return None, 1
    with os.scandir(folder) as entries:
        regular = (entry.name for entry in entries if entry.is_file(follow_symlinks=False))
        names = _newest_first(name for name in regular if RECORD.fullmatch(name))
    for bad, name in enumerate(names):
        with (folder / name).open("rb") as stream:
            status = _valid(stream.read(device_status.MOST_BYTES + 1), device, name)
        if status is not None:
            return status, bad
    return None, len(names)


def _newest_first(names: Iterable[str]) -> list[str]:
    """Those of a device's records that are looked at; what a clock that was ahead has dated comes last."""
    latest = f"{int((time.time() + AHEAD_S) * 1000):015d}.json"
    return sorted(names, key=lambda name: (name <= latest, name), reverse=True)[:TRIED]
