"""The programs of a device, by their names.

    python3 -m runners.edge run --source /dev/video0 --bundle FOLDER

or, from inside `runners/`, `python3 -m edge run ...`. Each is a file in `commands/`. Status 2: the command or
something that it names was wrong, or a package is not there; what else a status means is told by the program's
`--help`. Must run on Python 3.6.
"""

import argparse
import errno
import os
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import List, Optional

HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:] = [HOUSE] + [folder for folder in sys.path if folder != HOUSE]

from runners.edge import commands  # noqa: E402 (found by its place, whatever the folder that this is started in)
from runners.edge.aloud import say  # noqa: E402
from runners.edge.refused import Failed, Lacking, Refused  # noqa: E402

PACKAGES = ("cv2", "numpy")  # that every device has
MENDABLE = (  # by whoever looks after the device
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ELOOP,
    errno.ENAMETOOLONG,
)  # fmt: skip


def main(arguments: Optional[List[str]] = None) -> int:
    """Entry point; the exit status."""
    parser = argparse.ArgumentParser(prog="edge", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", metavar="PROGRAM")
    verbs.required = True  # an argument of add_subparsers only since Python 3.7
    for _, name, _ in iter_modules(commands.__path__):
        command = import_module("{}.{}".format(commands.__name__, name))
        text = command.__doc__ or ""
        verb = verbs.add_parser(
            name.replace("_", "-"),
            help=text.splitlines()[0].rstrip("."),
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(verb)
        verb.set_defaults(start=command.run)
    given = parser.parse_args(arguments)
    try:
        return int(given.start(given))
    except Refused as refused:
        said, status = str(refused), 1 if isinstance(refused, Failed) else 3 if isinstance(refused, Lacking) else 2
    except ImportError as error:
        if (error.name or "").split(".")[0] not in PACKAGES:
            raise  # a fault of ours
        said, status = "{} has not the package {}; name the Python that has it".format(sys.executable, error.name), 2
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        said, status = "{}: {}".format(error.filename or "writing", error.strerror), 2
    say("edge {}: {}".format(given.verb, said))
    return status


if __name__ == "__main__":
    sys.exit(main())
