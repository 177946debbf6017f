"""What is signed for this device now, by python-tuf, and what was seen before, so that nobody goes back behind it.

python-tuf keeps its metadata by a rename without a sync, so a power cut can empty it, and rollback protection is gone.
Here it works on a copy in a temporary folder, and what it has verified is kept in one file of ours, replaced whole.
That file is the floor for every version; python-tuf itself forgets those floors whose key was replaced, as it has to
after a leak (a fast-forward attack).

Works with python-tuf 7 and with 5.1, the last for Python 3.8.
"""

import hashlib
import inspect
import json
import os
import tempfile
import time
from datetime import datetime, timezone
from typing import Any, Dict, NamedTuple, Optional

from tuf.api import exceptions
from tuf.ngclient import Updater, UpdaterConfig

from runners.agent.fetching import Fetcher, why
from runners.agent.troubles import Unavailable, Untrusted, WrongClock
from runners.contract import bundle, device_folder, records
from runners.edge import durable

FILE = os.path.join(device_folder.AGENT, "trusted.json")
ROLES = ("root", "timestamp", "snapshot", "targets")
MOST_BYTES = 8 << 20
MOST_BUNDLE = 4 << 30
SLACK_S = 3600.0  # by which clocks may differ before one of them counts as wrong
DAY_S = 24 * 3600.0


class Signed(NamedTuple):
    """A bundle as it is signed; `digest` is of all that is signed of it but whom it is rolled out to."""

    offer: bundle.Offer
    length: int
    sha256: str
    digest: str


class TrustedMetadata:
    """Of one device's folder. `root_file` is the root metadata that it was shipped with."""

    def __init__(self, home: str, root_file: str) -> None:
        self._file, self._root_file = os.path.join(home, FILE), root_file
        self._kept: Dict[str, Any] = {}
        try:
            found = records.load(self._file, MOST_BYTES)
            kinds: Any = dict(dict.fromkeys(ROLES, (str, type(None))), clock_s=int)
            self._kept = records.checked(found, kinds)
        except ValueError:  # the first time, or the disk lost it: begin with what was shipped
            pass

    @property
    def versions(self) -> Dict[str, int]:
        """Of each role, what is the least that is taken."""
        return {role: _version(self._kept[role]) for role in ROLES if self._kept.get(role)}

    def now_s(self) -> float:
        """Seconds since 1970, and not before the newest time that was signed: a device may start in the past."""
        return max(time.time(), float(self._kept.get("clock_s", 0)))

    def check_clock(self) -> None:
        """See to it that the device's clock is not before what was signed; then nobody could tell a frozen host.

        Raises:
            WrongClock: it is, as where a device without a battery has started and nothing has set its clock yet.
        """
        floor_s = float(self._kept.get("clock_s", 0))
        if time.time() < floor_s - SLACK_S:
            said = "the device's clock says {}, and what is offered was built on {}: no update until it is set"
            raise WrongClock(said.format(_date(time.time()), _date(floor_s)))

    def refresh(self, url: str, *offers: str) -> Dict[str, Signed]:
        """The newest metadata at `url`: those of these targets that are signed.

        Raises:
            Unavailable: it cannot be fetched.
            WrongClock: it is expired by the device's clock, and not by the host's.
            Untrusted: it is not signed as it has to be, expired, or older than what was seen.
        """
        with tempfile.TemporaryDirectory(prefix="edgeproof-") as folder:
            fetcher = Fetcher()
            try:
                updater = self._updater(folder, url, fetcher)
                # A device without a battery for its clock boots in the past, where nothing ever expires.
                updater._trusted_set.reference_time = datetime.fromtimestamp(self.now_s(), timezone.utc)
                try:
                    updater.refresh()
                finally:
                    self._keep(folder)
                found = {path: updater.get_targetinfo(path) for path in offers}
            except exceptions.DownloadLengthMismatchError as error:
                raise Untrusted("{}: sends more than metadata may have: {}".format(url, error)) from error
            except exceptions.DownloadError as error:
                raise Unavailable("{}: no metadata: {}".format(url, why(error))) from error
            except exceptions.ExpiredMetadataError as error:
                since_s = _expired_s(updater)
                self._check_ahead(fetcher.host_s, since_s)
                raise Untrusted("{}: {}".format(url, self._told(since_s, fetcher.host_s))) from error
            except (exceptions.RepositoryError, ValueError) as error:
                raise Untrusted("{}: the metadata is refused: {}".format(url, _why(error))) from error
        signed = {path: _signed(path, target) for path, target in found.items() if target is not None}
        newest_s = max([self._kept["clock_s"]] + [one.offer.built_s for one in signed.values()])
        if newest_s > self._kept["clock_s"]:
            self._save(dict(self._kept, clock_s=newest_s))
        return signed

    def _check_ahead(self, host_s: Optional[float], since_s: Optional[float]) -> None:
        """Raise WrongClock where by the host's clock, which nobody signed, the metadata is not expired."""
        ahead_s = 0.0 if host_s is None else time.time() - host_s
        if host_s is not None and ahead_s > SLACK_S and (since_s is None or host_s < since_s):
            said = "the device's clock says {}, {:.1f} days ahead of the host's, so the metadata looks expired: "
            raise WrongClock(said.format(_date(time.time()), ahead_s / DAY_S) + "no update until it is set")

    def _told(self, since_s: Optional[float], host_s: Optional[float]) -> str:
        now_s = self.now_s()
        ago = "" if since_s is None else ", {:.1f} days ago, on {}".format((now_s - since_s) / DAY_S, _date(since_s))
        whose = "the device's clock" if now_s - time.time() < SLACK_S else "what was signed, as its clock is behind,"
        other = "" if host_s is not None else ", or the device's clock to be set, if that is ahead"
        said = "the metadata is expired{}: by {} it is {}; it has to be signed anew{}"
        return said.format(ago, whose, _date(now_s), other)

    def _updater(self, folder: str, url: str, fetcher: Fetcher) -> Any:
        with open(self._root_file, "rb") as stream:
            root = stream.read(MOST_BYTES)
        kept = self._kept.get("root")
        if kept and _version(kept) >= _version(root.decode("utf-8")):
            root = kept.encode("utf-8")
        for role in ROLES[1:]:
            if self._kept.get(role):
                _put(folder, role, self._kept[role].encode("utf-8"))
        given: Dict[str, Any] = {"fetcher": fetcher, "config": UpdaterConfig(max_delegations=0)}
        if "bootstrap" in inspect.signature(Updater.__init__).parameters:  # since python-tuf 6
            given["bootstrap"] = root
        else:
            _put(folder, "root", root)
        return Updater(folder, url, **given)

    def _keep(self, folder: str) -> None:
        """Keep what python-tuf has verified and written, also where what followed was refused."""
        kept: Dict[str, Any] = {"clock_s": self._kept.get("clock_s", 0)}
        for role in ROLES:
            path = os.path.join(folder, role + ".json")
            kept[role] = None
            if os.path.exists(path):
                with open(path, encoding="utf-8") as stream:
                    kept[role] = stream.read()
        if kept != self._kept:
            self._save(kept)

    def _save(self, kept: Dict[str, Any]) -> None:
        durable.write(self._file, json.dumps(kept).encode("utf-8"))
        self._kept = kept


def _signed(path: str, target: Any) -> Signed:
    """Raise Untrusted where a target is signed that this agent cannot take."""
    try:
        offer = bundle.offer_from_json(target.custom or {})
        sha256 = target.hashes.get("sha256")
        if not records.is_sha256(sha256) or not 0 < target.length <= MOST_BUNDLE:
            raise ValueError("it has no SHA-256, or a length that no bundle has")
    except ValueError as error:
        raise Untrusted("{}: what is signed of it is no bundle: {}".format(path, error)) from error
    rest = json.dumps([sha256, bundle.offer_as_json(offer._replace(rollout=None))], sort_keys=True)
    return Signed(offer, target.length, sha256, hashlib.sha256(rest.encode("utf-8")).hexdigest())


def _expired_s(updater: Any) -> Optional[float]:
    """When the first of the metadata expired that python-tuf has taken so far; None where it took none that did."""
    found = updater._trusted_set
    until = [part.expires for part in found if part.is_expired(found.reference_time)]
    return min(until).replace(tzinfo=timezone.utc).timestamp() if until else None


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _put(folder: str, role: str, content: bytes) -> None:
    with open(os.path.join(folder, role + ".json"), "wb") as stream:
        stream.write(content)


def _version(metadata: str) -> int:
    """Of metadata that was verified, or shipped."""
    try:
        return int(json.loads(metadata)["signed"]["version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Untrusted("root.json as it was shipped is no metadata: copy it anew ({})".format(error)) from error


def _why(error: BaseException) -> str:
    """In one line, with what was below it."""
    said = [str(error) or type(error).__name__]
    if isinstance(error, exceptions.UnsignedMetadataError):
        said[0] += " that the root metadata of this device names"
    if error.__cause__ is not None:
        said.append(str(error.__cause__) or type(error.__cause__).__name__)
    return " ".join(": ".join(said).split())[:300]
