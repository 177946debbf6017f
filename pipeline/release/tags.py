"""What a Git tag asks to release: `v1.2.3`, or as GTO writes it `name@v1.2.3` and `name#stage`."""

import re
from dataclasses import dataclass

from gto.tag import parse_name
from gto.versions import SemVer

from pipeline.system import programs
from pipeline.system.errors import InputError
from runners.contract.records import is_name

STABLE, BETA = "stable", "beta"
GIT_S = 20.0


@dataclass(frozen=True)
class Tag:
    """`version` is what devices report, `release` what the release is called, `channel` whom it is for."""

    version: str
    release: str
    channel: str


def parse(text: str) -> Tag:
    """What a tag says. A version goes to `stable`, one such as v1.3.0-rc.1 to `beta`; a stage is a channel's name.

    Raises:
        InputError: it is no such tag, it takes something back, or no version is registered where a stage is assigned.
    """
    if SemVer.is_valid(text) and is_name(text):
        return Tag(text, text, _channel(text))
    found = parse_name(text, raise_on_fail=False)
    if not found or not ({"version", "stage"} & set(found)):
        raise InputError(f"the tag {text!r} is no release: give v1.2.3, name@v1.2.3 or name#stage")
    if found["action"].value not in ("register", "assign"):
        raise InputError(f"the tag {text!r} takes something back; `edgeproof release rollback` does that for devices")
    name = str(found["name"])
    version = str(found.get("version") or _registered(text, name))
    channel = str(found.get("stage") or _channel(version))
    tag = Tag(version, re.sub(r"[^\w.+-]", "-", f"{name}-{version}", flags=re.ASCII), channel)
    for part in (tag.version, tag.release, tag.channel):
        if not is_name(part):
            raise InputError(
                f"the tag {text!r}: {part!r} cannot be a part of an address; take letters, digits and -_.+"
            )
    return tag


def _channel(version: str) -> str:
    return BETA if SemVer.parse(version).prerelease else STABLE


def _registered(text: str, name: str) -> str:
    """The newest version of `name` that is registered at the commit checked out here."""
    try:
        tags = programs.run(["git", "tag", "--points-at", "HEAD"], GIT_S).split()
    except programs.Failed as error:
        raise InputError(f"git tag: {error}") from None
    parsed = [parse_name(tag, raise_on_fail=False) for tag in tags]
    versions = [
        SemVer(found["version"])
        for found in parsed
        if found and found.get("name") == name and found["action"].value == "register"
    ]
    if not versions:
        raise InputError(f"the tag {text!r}: no version of {name} is registered here; tag {name}@v1.2.3 first")
    return str(max(versions).version)
