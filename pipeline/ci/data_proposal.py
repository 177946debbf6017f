"""A pull request for data that grew: one commit that changes data.dvc, made through the API and never pushed by hand.

The job that does this may write, so it runs no code and reads no picture of what was pulled: all it gets is a pointer
and a few lines of text, and both are checked.

What GitHub's own token does starts no workflows, a pull request neither. Starting one by its name is the exception:
`pr.yml` is started on the new branch, and its checks stand at the commit.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.project import layout
from pipeline.records.targets import describe
from pipeline.system.errors import BadData
from pipeline.system.github_api import NOT_FOUND, ApiError, GitHub

POINTER = f"{layout.DATA}.dvc"
DECISIONS = "decisions.json"
WORKFLOW = "pr.yml"
MOST_BYTES = 64 << 20  # of decisions
MOST_POINTER, MOST_TEXT = 4096, 8000  # bytes, characters


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Out(_Strict):
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}\.dir$")]
    size: Annotated[int, Field(ge=0)]
    nfiles: Annotated[int, Field(ge=0)]
    hash: Literal["md5"]
    path: Literal["data"]


class _Pointer(_Strict):
    outs: Annotated[list[_Out], Field(min_length=1, max_length=1)]


def fetch_decisions(github: GitHub, branch: str, out: Path) -> None:
    """Write the file decisions.json of a branch, which nobody checks out, to `out`.

    Raises:
        BadData: the branch has none.
        ApiError: GitHub refuses.
    """
    if not re.fullmatch(r"[\w][\w./-]{0,200}", branch):
        raise BadData(f"{branch!r} is no branch's name")
    try:
        content = github.fetch(f"contents/{DECISIONS}?ref={branch}", MOST_BYTES, raw=True)
    except ApiError as error:
        if error.status == NOT_FOUND:
            raise BadData(f"the branch {branch} has no {DECISIONS}: upload what the review page saved there") from error
        raise
    out.write_bytes(content)


def pointer(content: bytes) -> str:
    """The text of a data.dvc that names a folder in DVC's cache and nothing else, written anew.

    Raises:
        BadData: it is none.
    """
    try:
        if len(content) > MOST_POINTER:
            raise BadData(f"{POINTER}: has {len(content):,} bytes, more than a pointer")
        if re.search(rb"[&*!]", content):  # of which a few lines can be gigabytes once they are followed
            raise BadData(f"{POINTER}: has aliases or tags, which no pointer has")
        found = _Pointer.model_validate(yaml.safe_load(content))
    except ValidationError as error:
        raise BadData(f"{POINTER}: is no pointer to a folder of data: {describe(error)}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadData(f"{POINTER}: is no pointer to a folder of data") from error
    return yaml.safe_dump(found.model_dump(), sort_keys=False)


def propose(github: GitHub, main: str, content: bytes, text: str, run: str) -> str:
    """Propose a data.dvc of this `content` to the branch `main`, and start the loop on it; the pull request's address.

    `text` says what changed, `run` is the number of the run that found it, after which the branch is called.

    Raises:
        BadData: the content is no pointer.
        ApiError: GitHub refuses.
    """
    new, branch = pointer(content), f"captures-{run}"
    tip = str(github.get(f"git/ref/heads/{main}")["object"]["sha"])
    base = github.get(f"git/commits/{tip}")["tree"]["sha"]
    blob = {"path": POINTER, "mode": "100644", "type": "blob", "content": new}
    tree = github.send("POST", "git/trees", {"base_tree": base, "tree": [blob]})
    title = "Data: what devices captured"
    commit = github.send("POST", "git/commits", {"message": title, "tree": tree["sha"], "parents": [tip]})
    github.send("POST", "git/refs", {"ref": f"refs/heads/{branch}", "sha": commit["sha"]})
    told = "".join(character if character.isprintable() or character == "\n" else " " for character in text)
    body = f"```\n{told[:MOST_TEXT].replace('`', ' ').strip()}\n```\n"
    made = github.send("POST", "pulls", {"title": title, "head": branch, "base": main, "body": body})
    github.start(WORKFLOW, branch)
    return str(made["html_url"])
