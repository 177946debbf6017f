"""Whether the signatures of a release are valid for a while yet: TUF metadata, where the repository has some."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.doctor.examined import Subject, git
from pipeline.doctor.finding import Finding, not_measured, well, wrong

NAME = re.compile(r"(?:(\d+)\.)?(root|targets|snapshot|timestamp)\.json")
# A timestamp is signed again every few days; for the others somebody has to fetch a key.
SOON = {"timestamp": timedelta(days=7)}
LATER = timedelta(days=30)


def look(subject: Subject) -> Iterator[Finding]:
    """Of each role the newest version (https://theupdateframework.github.io/specification/latest/#file-formats)."""
    newest: dict[tuple[Path, str], tuple[int, Path]] = {}
    for name in git("ls-files", "-z", "--", "*.json").split("\0"):
        path = Path(name)
        if found := NAME.fullmatch(path.name):
            key = (path.parent, found[2])
            newest[key] = max(newest.get(key, (-1, path)), (int(found[1] or 0), path))
    metadata = [(role, path, _signed(path)) for (_, role), (_, path) in sorted(newest.items())]
    signed = [(role, path, body) for role, path, body in metadata if body]
    if not signed:
        yield well("no release's metadata is in this repository")
    for role, path, body in signed:
        try:
            expires = datetime.fromisoformat(str(body["expires"]).replace("Z", "+00:00"))
            left = expires - subject.now
        except (KeyError, ValueError, TypeError):
            yield not_measured(f"{path} does not say when it expires", "restore it from Git")
            continue
        if left > SOON.get(role, LATER):
            yield well(f"{path} is valid until {expires:%Y-%m-%d}")
        else:
            ends = "expired" if left < timedelta() else "expires"
            yield wrong(
                f"{path} {ends} on {expires:%Y-%m-%d}",
                "devices take no update that expired metadata names",
                "edgeproof release rotate --root-key FILE" if role == "root" else "edgeproof release resign",
            )


def _signed(path: Path) -> dict[str, object] | None:
    """The signed part of TUF metadata, or None for a file that is something else."""
    try:
        body = json.loads(path.read_bytes())["signed"]
        return body if body["_type"] == NAME.fullmatch(path.name)[2] else None  # type: ignore[index]
    except (OSError, ValueError, LookupError, TypeError):
        return None
