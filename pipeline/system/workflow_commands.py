"""What a program tells a runner of GitHub Actions: annotations, the run's summary, a step's outputs.

Commands are lines of a step's output: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
The runner takes one from every line that begins with `::` or has `##[` anywhere (src/Runner.Common/ActionCommand.cs of
actions/runner), so the name of a layer can be one. From `stop` on it obeys only what is said here.
"""

import atexit
import os
import secrets
from pathlib import Path
from typing import Literal

from pipeline.system.console import escape_markdown

Level = Literal["error", "warning"]

# The runner drops a step's whole summary if it is larger than 1 MiB, and cuts a message at 4096 characters.
MOST_SUMMARY_BYTES = 1_000_000
MOST_MESSAGE = 4_000
CUT = "\n\n(cut: too long for a summary)\n"
_stopped: list[str] = []  # the word by which the runner listens again


def stop() -> None:
    """Nothing that this process prints is a command, up to its end."""
    if _on_runner() and not _stopped:
        _stopped.append(secrets.token_hex(16))
        print(f"::stop-commands::{_stopped[0]}", flush=True)
        atexit.register(_listen)  # which comes after a traceback


def annotate(level: Level, message: str, **properties: str) -> None:
    """Show a message on the run's page, and beside the `file` of its properties."""
    if not _on_runner():
        return
    if len(message) > MOST_MESSAGE:
        message = message[:MOST_MESSAGE] + " …"
    if _stopped:
        _listen()
    of = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    print(f"::{level} {of}::{_data(message)}", flush=True)
    if _stopped:
        print(f"::stop-commands::{_stopped[0]}", flush=True)


def refused(reason: str) -> None:
    """Bad input: the line that says so, as an annotation and as the summary."""
    annotate("error", reason, title="edgeproof: bad input")
    summarize(f"## No verdict: bad input\n\n{escape_markdown(reason)}\n")


def summarize(markdown: str) -> None:
    """Append to the step's summary, as much as the runner takes of it."""
    if not (path := _file("GITHUB_STEP_SUMMARY")):
        return
    room = MOST_SUMMARY_BYTES - (path.stat().st_size if path.exists() else 0)
    content = markdown.encode("utf-8", "replace")
    if len(content) > room:
        content = content[: max(0, room - len(CUT))].decode("utf-8", "ignore").encode() + CUT.encode()
    with path.open("ab") as stream:
        stream.write(content[: max(0, room)])


def output(name: str, value: str) -> None:
    """Set an output of the step; `value` is one line."""
    if path := _file("GITHUB_OUTPUT"):
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{name}={value}\n")


def _on_runner() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def _file(variable: str) -> Path | None:
    path = os.environ.get(variable)
    return Path(path) if path and _on_runner() else None


def _listen() -> None:
    print(f"::{_stopped[0]}::", flush=True)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
