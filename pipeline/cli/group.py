"""The command `edgeproof` itself. Exit codes: 0 pass, 1 fail, 2 bad input, 3 not measured."""

import errno
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from pipeline.system.errors import InputError, shown

LONGEST = 1000  # characters of a message
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells say it
UNREAD = 141  # likewise, of SIGPIPE
MENDABLE = {
    errno.ENOSPC: "no space left on the disk; free some and run it again",
    errno.EDQUOT: "the disk quota is used up; free some space and run it again",
    errno.EFBIG: "the file would grow over the size limit; raise it (`ulimit -f`) and run it again",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "links lead in a circle",
    errno.EISDIR: "is a folder, where a file should be",
    errno.ENOTDIR: "a file is where a folder should be",
    errno.EIO: "the disk or the network it is on fails",
}


class Group(click.Group):
    """Turns what a user can mend into one line and exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command; exit 2 with one line for bad input, a full disk, a missing permission or package."""
        try:
            _check_here()
            return super().invoke(context)
        except click.UsageError as error:
            _tell_runner(context, shown(" ".join(error.format_message().split())))
            raise
        except click.Abort:  # of a question, where nobody is there to answer
            click.echo(err=True)  # behind it
            _stop(context, "a question was not answered; start it in a terminal, or give the answer as an option")
        except KeyboardInterrupt:  # which is no verdict: click would end with 1, as a failed check does
            click.echo("edgeproof: interrupted", err=True)
            sys.exit(INTERRUPTED)
        except InputError as error:
            _stop(context, str(error))
        except ModuleNotFoundError as error:
            # A module of ours that is not there is a fault of ours.
            if (error.name or "").split(".")[0] in ("pipeline", "models", "runners"):
                raise
            extra = {"distributed": "cluster", "labgrid": "boards"}.get(error.name or "", "cloud")
            _stop(context, f"this needs the package {error.name}: `pip install 'edgeproof[{extra}]'`")
        except UnicodeEncodeError as error:
            if error.reason != "surrogates not allowed":
                raise
            _stop(context, "a name, an option or a variable holds bytes that are no UTF-8 text; write it in UTF-8")
        except BrokenPipeError:  # `| head`: no verdict either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still flushes
            sys.exit(UNREAD)
        except OSError as error:
            # NumPy reports a short write without an error number, shutil the number in words.
            said = re.search(r"\[Errno (\d+)\]", str(error)) if isinstance(error, shutil.Error) else None
            code = errno.ENOSPC if "requested and" in str(error) else int(said[1]) if said else error.errno
            if code not in MENDABLE:
                raise
            _stop(context, f"{error.filename or 'writing'}: {MENDABLE[code]}")
        except RuntimeError as error:  # of pathlib, before Python 3.13
            if not str(error).startswith("Symlink loop"):
                raise
            _stop(context, f"{str(error).removeprefix('Symlink loop from ')}: {MENDABLE[errno.ELOOP]}")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="edgeproof")
def cli() -> None:
    """A model that passes here passes on the device.

    The pipeline runs as DVC stages: `dvc repro` calls `edgeproof stage ...` in order and repeats only what changed.
    Settings are in params.yaml, devices in runners/targets/, boards in runners/boards/. `check`, `compress`,
    `convert` and `predict` take any model file and need no pipeline.

    Exit codes: 0 pass, 1 fail, 2 bad input, 3 not measured.
    """


def _check_here() -> None:
    try:
        Path.cwd()
    except OSError as error:
        said = error.strerror or error
        raise InputError(f"the folder that you are in is gone or cannot be read ({said}); go to another") from error


def _stop(context: click.Context, message: str) -> NoReturn:
    line = shown(" ".join(message.split()))
    if len(line) > LONGEST:  # it quotes a damaged file
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
    click.echo(f"edgeproof: {line}", err=True)
    _tell_runner(context, line)
    sys.exit(2)


def _tell_runner(context: click.Context, line: str) -> None:
    # A group of its own tells it, so that it is told once.
    if context.invoked_subcommand == "check" or context.info_name in ("ci", "release"):
        from pipeline.system import workflow_commands

        workflow_commands.refused(line)
