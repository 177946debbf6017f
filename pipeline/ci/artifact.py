"""A run's record out of the artifact that the run uploaded, which may be anything.

Nothing is unpacked to the disk: one file of a known name is read from the archive, in memory, up to a limit.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass

from pipeline.ci import run_record
from pipeline.ci.run_record import MOST_BYTES, RunRecord
from pipeline.system.errors import BadData
from pipeline.system.github_api import GitHub, TooLarge

NAME, FILE, PAGE = "summary", "summary.json", "report"
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Artifacts:
    """The numbers of a run's artifacts on GitHub; None for one that it does not have, or not any more."""

    record: int | None
    page: int | None


def of_run(github: GitHub, run: int) -> Artifacts:
    """What the run uploaded; of what was uploaded twice the last.

    Raises:
        ApiError: GitHub does not tell.
    """
    found = {
        str(one["name"]): int(one["id"])
        for one in sorted(github.pages(f"actions/runs/{run}/artifacts", key="artifacts"), key=lambda one: one["id"])
        if not one["expired"]
    }
    return Artifacts(found.get(NAME), found.get(PAGE))


def record(github: GitHub, artifact: int) -> RunRecord:
    """The record in an artifact.

    Raises:
        BadData: it is none, or too large.
        ApiError: GitHub does not give it.
    """
    try:
        content = github.fetch(f"actions/artifacts/{artifact}/zip", MOST_BYTES)
    except TooLarge as error:
        raise BadData(f"the artifact {NAME} is {error}") from error
    return run_record.read(_only_file(content))


def _only_file(content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.namelist() != [FILE]:
                raise BadData(f"the artifact {NAME} holds something else than {FILE} alone")
            [info] = archive.infolist()
            if info.compress_type not in METHODS or info.flag_bits & 1:
                raise BadData(f"{FILE} in the artifact {NAME} is packed in a way that GitHub's are not")
            with archive.open(info) as stream:
                text = stream.read(MOST_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise BadData(f"the artifact {NAME} is no archive that can be read") from error
    if len(text) > MOST_BYTES:
        raise BadData(f"{FILE} in the artifact {NAME} is larger than {MOST_BYTES:,} bytes")
    return text
