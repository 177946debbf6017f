"""What somebody new begins with: a project of one's own, and what is still wrong with it."""

import json
import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="A file with a token that may read the repository's settings; by default GITHUB_TOKEN is taken.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all findings as JSON.")
def doctor(token_file: Path | None, as_json: bool) -> None:
    """Say what keeps this project from working, here and on GitHub, and how to mend it.

    On GitHub it reads settings through the REST API, for the repository that GITHUB_REPOSITORY or the remote `origin`
    names: a fine-grained token needs Administration: read and Actions: read, and for an organization's runner groups
    Self-hosted runners: read. It changes nothing. GITHUB_API_URL names the API of another server than github.com.

    What could not be looked at is not measured, and says which permission it takes. Exit codes: 0 all is well, 1
    something is wrong, 2 bad input, 3 something could not be looked at.
    """
    from pipeline.doctor import diagnosis, examination, subject
    from pipeline.records.gates import EXIT_CODES

    found = examination.examine(subject.here(token_file))
    click.echo(json.dumps(diagnosis.as_json(found), indent=2) if as_json else diagnosis.text(found))
    sys.exit(EXIT_CODES[examination.verdict(found)])


COMMANDS = [doctor]
