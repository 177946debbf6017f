"""Whether other machines can get the data."""

import json
from collections.abc import Iterator

from pipeline.data import captured
from pipeline.doctor.examined import Subject, dvc
from pipeline.doctor.finding import Finding, Unasked, well, wrong
from pipeline.doctor.here.project_data import POINTER
from pipeline.project import layout

WHY = "GitHub's machines and colleagues cannot get your images: `edgeproof data fetch` fails there"


def look(subject: Subject) -> Iterator[Finding]:
    """The remote has to answer and to hold all of data/. The default clip needs none: it is public."""
    own = (layout.DATA / "manifest.csv").exists()
    captures = (layout.DATA / captured.FOLDER).exists()
    if not dvc("remote", "list").strip():
        if own or captures:
            yield wrong(
                f"data/ {'is your own' if own else 'has captures'}, and no DVC remote is configured",
                WHY,
                "dvc remote add -d NAME URL && dvc push, then commit .dvc/config",
            )
        else:
            yield well("none is configured, and the default clip needs none")
        return
    if not POINTER.is_file():
        yield wrong("a remote is configured, and no data.dvc says what it holds", WHY, "edgeproof data import FOLDER")
        return
    try:
        states = json.loads(dvc("status", "--cloud", "--json", str(POINTER)))
    except Unasked as error:
        yield wrong(
            f"the DVC remote does not answer ({error})", WHY, "look at its address and its credentials: dvc remote list"
        )
        return
    lacking = [name for name, state in states.items() if state != "deleted"]  # from the cache here; the remote has it
    if lacking:
        yield wrong(
            f"the DVC remote lacks files of {layout.DATA}/ ({len(lacking):,})",
            WHY,
            f"dvc push {POINTER}, on the machine that has them in DVC's cache",
        )
    else:
        yield well(f"it answers, and holds all of {layout.DATA}/")
