"""The review page: one HTML file with all pictures in it, which a person opens anywhere, without server and network.

Decisions are kept by the browser and saved as a file that `decisions.py` reads.
"""

import base64
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pipeline.ingest.decisions import BY
from pipeline.ingest.proposals import Proposal, Proposed
from pipeline.system import files
from pipeline.system.templates import template

MOST = 500  # captures of one page: about as many as one sitting decides, in about ten megabytes
WHY = {
    "unsure": "its two best answers were close",
    "disagrees": "it disagreed with its track",
    "drifts": "unlike what the model was trained on",
    "random": "drawn at random",
}


def write(path: Path, proposed: Proposed) -> int:
    """Write the page about the captures most worth a look; how many are on it."""
    shown = proposed.proposals[:MOST]
    files.write_bytes(path, html(proposed.model, proposed.classes, shown).encode())
    return len(shown)


def html(model: str, classes: list[str], shown: list[Proposal]) -> str:
    """The page. Values of the template are escaped, and what the script gets is JSON."""
    content = {"by": BY, "classes": classes, "items": [_item(one) for one in shown]}
    page = template(Path(__file__).with_name("review.html.j2"))
    return page.render(model=model, total=max(len(shown), 1), content=content)


def data_url(picture: Path) -> str:
    """A picture as it is, inside of a page."""
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()


def _item(one: Proposal) -> dict[str, Any]:
    facts = one.capture.facts
    when = datetime.fromtimestamp(facts.time_s, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    told = f"{one.device_label}, {100 * one.device_share:.0f} %" if one.device_label else "nothing"
    return {
        "capture": one.capture.name,
        "sha256": facts.sha256,
        "image": data_url(one.capture.picture),
        "label": one.label,
        "share": f"{100 * one.share:.0f}",
        "why": list(one.why),
        "track": f"{facts.device}/{facts.group}",
        "facts": [
            ["capture", one.capture.name],
            ["captured", WHY[facts.reason]],
            ["device said", told],
            ["model", facts.version or "none"],
            ["camera", facts.camera],
            ["track", facts.group],
            ["time", when],
        ],
    }
