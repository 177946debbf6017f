"""TensorRT engines, built once on the board and kept; none is ever shipped.

An entry is two files: `KEY.engine`, and `KEY.json`, which says what the engine is for and what its SHA-256 is. One
that does not agree with itself counts as none, so files may be damaged or lost at any time. Python 3.6 with its
standard library.
"""

import fcntl
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import IO, Any, Dict, List, Optional, Tuple

from runners.contract import engine_recipe
from runners.edge.aloud import say
from runners.edge.backends import build_engine, engine_key
from runners.edge.backends.unusable import Unusable, in_one_line

Entry = Tuple[bytes, Dict[str, Any]]  # an engine, and what it is for

KEPT = 4  # engines: what runs, what it would roll back to, and two to compare with
BUILD_LIMIT_S = 3600.0
BUILDING = "building-"  # how scratch folders begin
CODE = os.path.abspath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, os.pardir))


def engine(folder: str, cache: str, tensorrt: str, anew: bool = False) -> Entry:
    """The engine for the model in `folder`; where `cache` has none, or with `anew`, it is built first.

    `tensorrt` is the version that will run it. Of several processes one builds, and the others wait for it.

    Raises:
        Unusable: this is no Jetson, the cache cannot be written, or TensorRT cannot build the engine.
    """
    facts = engine_key.facts(folder, tensorrt)
    name = engine_key.key(facts)
    path = os.path.join(cache, name)
    try:
        os.makedirs(cache, exist_ok=True)
        with open(os.path.join(cache, "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = None if anew else _read(path)
            if found is None:
                _collect(cache, name, facts)
                _build(folder, path, facts, lock)
                found = _read(path)
            if found is None:
                raise Unusable("{}.engine: is not what was written to it; is the disk sound?".format(path))
            os.utime(path + ".json", None)  # the time of its last use
            return found
    except OSError as error:
        raise Unusable("{}: cannot keep engines of TensorRT ({})".format(cache, error)) from error


def _read(path: str) -> Optional[Entry]:
    try:
        with open(path + ".json", encoding="utf-8") as note, open(path + ".engine", "rb") as stream:
            facts, content = json.load(note), stream.read()
        return (content, facts) if hashlib.sha256(content).hexdigest() == facts["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _build(folder: str, path: str, facts: Dict[str, Any], lock: IO[str]) -> None:
    say("building the TensorRT engine of {}: minutes, once".format(folder))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=BUILDING, dir=os.path.dirname(path)) as scratch:
        built, note = os.path.join(scratch, "engine"), os.path.join(scratch, "json")
        _run_builder(folder, built, lock)
        facts = dict(facts, sha256=engine_key.sha256(built), build_s=round(time.monotonic() - started, 1))
        with open(note, "w", encoding="utf-8") as stream:
            json.dump(facts, stream, indent=1, sort_keys=True)
        os.replace(built, path + ".engine")
        os.replace(note, path + ".json")


def _run_builder(folder: str, built: str, lock: IO[str]) -> None:
    """Build in a process of its own: it may crash, hang, or need more memory than the board can spare for long."""
    recipe = os.path.join(folder, engine_recipe.NAME)
    command = [sys.executable, "-m", build_engine.__name__, os.path.abspath(recipe), os.path.abspath(built)]
    try:
        # TensorRT logs to standard output, where our caller may write its events. The lock is the builder's too: it
        # would outlive us if we were killed, and two at once are too much for a board.
        done = subprocess.run(
            command, cwd=CODE, stdout=2, stderr=subprocess.PIPE, timeout=BUILD_LIMIT_S, pass_fds=[lock.fileno()]
        )
    except subprocess.TimeoutExpired:
        raise Unusable("{}: no engine of TensorRT within {:g} s".format(folder, BUILD_LIMIT_S)) from None
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        killed = "the builder was killed by signal {} (9: most likely memory ran out)".format(-done.returncode)
        raise Unusable("{}: no engine: {}".format(folder, killed if done.returncode < 0 else in_one_line(last)))


def _collect(cache: str, name: str, facts: Dict[str, Any]) -> None:
    """Make room for an entry: remove those of another system, those used longest ago, and what killed builds left."""
    for scratch in glob.glob(os.path.join(cache, BUILDING + "*")):
        shutil.rmtree(scratch, ignore_errors=True)
    kept: List[Tuple[float, str]] = []
    for path in glob.glob(os.path.join(cache, "[0-9a-f]" * 64 + ".engine")):
        path = path[: -len(".engine")]
        found = _read(path)
        of_this_system = found and all(found[1].get(part) == facts[part] for part in ("soc", "jetpack", "tensorrt"))
        if of_this_system and os.path.basename(path) != name:
            kept.append((os.path.getmtime(path + ".json"), path))
        else:
            _remove(path)
    for _, path in sorted(kept, reverse=True)[KEPT - 1 :]:
        _remove(path)


def _remove(path: str) -> None:
    for suffix in (".json", ".engine"):
        if os.path.exists(path + suffix):
            os.remove(path + suffix)
