"""Pages and texts of ours, from Jinja's templates. A name that a template does not get is an error, never a blank."""

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


def template(path: Path, finalize: Callable[[object], object] | None = None) -> Template:
    """The template in a file; those that it includes lie beside it.

    In one of HTML (`NAME.html.j2`) all values are escaped. `finalize` is called with each value that is printed.
    """
    environment = Environment(
        loader=FileSystemLoader(path.parent),
        autoescape=path.name.endswith(".html.j2"),
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(path.name)
