"""The report: every result held against its limits, as a page, as Markdown, as metrics and in the terminal.

    collect.py       read the records that params.yaml asks for, and judge them
    answer.py        does a candidate pass in the cloud but lose its accuracy on the target?
    trust.py         what proves the emulation, and what stands for the cloud
    worst_layers.py  which layers the target's arithmetic harms, and what would help
    table.py         one table of words, which the terminal, the page and Markdown each draw in their own way
    terminal.py page.py markdown.py metrics.py    the four ways to draw it
    from_devices.py  what devices captured of the data
    plots.py examples.py training.py              what only the page shows

The same records give the same bytes: DVC hashes the report like any other output.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.project import layout
from pipeline.records.gates import Verdict
from pipeline.report.collect import collect
from pipeline.system import files

if TYPE_CHECKING:
    from pipeline.project.params import Params

PAGE, MARKDOWN = "index.html", "report.md"


def write_report(params: "Params") -> Path:
    """Write the report's folder and the metrics for `dvc metrics diff`; the answer is the HTML page.

    Raises:
        InputError: a result that params.yaml asks for is missing or damaged, or the data set is.
    """
    from pipeline.report import markdown, metrics, page

    collected = collect(params)
    html, text = page.render(collected), markdown.render(collected)
    files.write_json(layout.METRICS, metrics.metrics(collected))
    with files.replacing_folder(layout.REPORT) as folder:
        (folder / PAGE).write_text(html, encoding="utf-8")
        (folder / MARKDOWN).write_text(text, encoding="utf-8")
    return layout.REPORT / PAGE


def summary(params: "Params") -> tuple[dict[str, Verdict], str, dict[str, Any]]:
    """Every target's verdict, the table for the terminal, and the same as a JSON-able record.

    Raises:
        InputError: a result that params.yaml asks for is missing or damaged.
    """
    from pipeline.report import metrics, terminal

    collected = collect(params)
    return collected.verdicts, terminal.render(collected), metrics.record(collected)
