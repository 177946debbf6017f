"""Captures and proposals for other tools: tasks for label-studio, or a folder whose pictures are moved by hand.

Both come back through `edgeproof ingest apply`: label-studio's own JSON export, or the folder.
"""

import shutil
from pathlib import Path
from xml.sax.saxutils import quoteattr

from pipeline.data.tables import write_table
from pipeline.ingest.decisions import LISTED, LISTED_COLUMNS, NAMED, REJECTED
from pipeline.ingest.proposals import Proposed
from pipeline.ingest.review_page import data_url
from pipeline.system import files
from pipeline.system.written import Output

COMMAND = "edgeproof ingest export"
TASKS, CONFIG = "tasks.json", "labels.xml"


def for_label_studio(out: Path, proposed: Proposed) -> None:
    """Write a folder with tasks to import, pictures in them and proposals as predictions, and the labelling interface.

    Raises:
        InputError: the folder holds what was not written here.
    """
    tasks = [
        {
            "data": {
                "image": data_url(one.capture.picture),
                "capture": one.capture.name,
                "sha256": one.capture.facts.sha256,
                "why": "; ".join(one.why),
            },
            "predictions": [
                {
                    "model_version": proposed.model,
                    "score": round(one.share, 4),
                    "result": [
                        {"from_name": NAMED, "to_name": "image", "type": "choices", "value": {"choices": [one.label]}}
                    ],
                }
            ],
        }
        for one in proposed.proposals
    ]
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in proposed.classes)
    config = (
        '<View>\n  <Image name="image" value="$image"/>\n  <Text name="why" value="$why"/>\n'
        f'  <Choices name="{NAMED}" toName="image" choice="single" showInLine="true">\n{choices}  </Choices>\n</View>\n'
    )
    with Output(out, COMMAND).claimed(), Output(out, COMMAND).replaced() as folder:
        files.write_json(folder / TASKS, tasks)
        (folder / CONFIG).write_text(config, encoding="utf-8")


def as_folder(out: Path, proposed: Proposed) -> None:
    """Write a folder of class folders, each picture in that of its proposed class, numbered by how worth a look it is.

    Raises:
        InputError: the folder holds what was not written here, such as pictures that somebody moved.
    """
    rows = []
    with Output(out, COMMAND).claimed(), Output(out, COMMAND).replaced() as folder:
        for name in (*proposed.classes, REJECTED):
            (folder / name).mkdir()
        for number, one in enumerate(proposed.proposals, start=1):
            file = f"{number:05d}.png"
            shutil.copyfile(one.capture.picture, folder / one.label / file)
            rows.append((file, one.capture.name, one.capture.facts.sha256, one.label, "; ".join(one.why)))
        write_table(folder / LISTED, [*LISTED_COLUMNS, "proposed", "why"], rows)
