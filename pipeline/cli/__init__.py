"""The command line: a file `*_verbs.py` for each group of commands, which only parse, call and print."""

import os
import sys
from importlib import import_module
from io import TextIOWrapper
from pkgutil import iter_modules

from pipeline.cli.group import cli

__all__ = ["cli", "main"]

FAULT = 70  # EX_SOFTWARE of <sysexits.h>

for module in iter_modules(__path__):
    if module.name.endswith("_verbs"):
        for command in import_module(f"{__name__}.{module.name}").COMMANDS:
            cli.add_command(command)


def main() -> None:
    """Entry point."""
    from pipeline.system import library_warnings

    library_warnings.hide()
    _open_streams()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that is no UTF-8 ends no command half way
    try:
        cli(prog_name="edgeproof")
    except Exception:  # a fault of this program's own, which must look like no verdict
        sys.excepthook(*sys.exc_info())
        sys.exit(FAULT)


def _open_streams() -> None:
    """Standard streams that the caller has closed lead nowhere; else the next file opened would take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
