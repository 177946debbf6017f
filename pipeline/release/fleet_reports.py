"""What devices say of a version: the newest status record of each, from an inbox that anybody may have written to."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.system import files
from pipeline.system.errors import InputError, Missing, Refused
from runners.contract import device_status, records
from runners.contract.device_status import DeviceStatus

MOST_DEVICES = 1_000_000
TRIED = 16  # records of a device, from the newest: one that cannot be read hides no older one
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
    """Copy the newest record of each device that is one to `folder`, from an inbox that fsspec reaches; how many.

    Raises:
        InputError: the inbox cannot be read, or the folder is there already. No message shows the address's password.
    """
    import fsspec

    if folder.exists():
        raise InputError(f"{folder}: exists already; name a new folder")
    place = urlsplit(address)
    shown = f"{place.scheme}://{place.hostname or ''}" if place.scheme else address
    copied = 0
    with files.replacing_folder(folder) as temporary:
        try:
            system, root = fsspec.url_to_fs(address)
            for device in _listed(system, f"{root.rstrip('/')}/{device_status.FOLDER}", "directory"):
                if not records.is_name(name := device.rsplit("/", 1)[-1]):
                    continue
                found = [path for path in _listed(system, device, "file") if RECORD.fullmatch(path.rsplit("/", 1)[-1])]
                for path in sorted(found, reverse=True)[:TRIED]:
                    content = system.cat_file(path, end=device_status.MOST_BYTES + 1)
                    if _valid(content, name, path.rsplit("/", 1)[-1]) is not None:
                        files.write_bytes(temporary / device_status.FOLDER / name / path.rsplit("/", 1)[-1], content)
                        copied += 1
                        break
                if copied > MOST_DEVICES:
                    raise Refused(f"{shown}: more than {MOST_DEVICES:,} devices; somebody fills the inbox")
        except ImportError as error:
            raise Missing(f"{shown}: {error.msg}") from None
        except InputError:
            raise
        except Exception as error:  # each protocol's library has its own, and their texts may quote the password
            raise InputError(f"{shown}: the inbox cannot be read ({type(error).__name__})") from None
    return copied


def _listed(system: Any, folder: str, kind: str) -> list[str]:
    """The paths of one kind in a folder; none where there is no such folder."""
    try:
        return [str(entry["name"]).rstrip("/") for entry in system.ls(folder, detail=True) if entry["type"] == kind]
    except FileNotFoundError:
        return []


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
        names = sorted((name for name in regular if RECORD.fullmatch(name)), reverse=True)
    for bad, name in enumerate(names[:TRIED]):
        with (folder / name).open("rb") as stream:
            status = _valid(stream.read(device_status.MOST_BYTES + 1), device, name)
        if status is not None:
            return status, bad
    return None, min(len(names), TRIED)
