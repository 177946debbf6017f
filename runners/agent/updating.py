"""One device's updates: what is wanted, how it is taken, tried, called good or taken back.

Every step may be the last before power goes: what was begun is found again from the link `current`, the slots and
`agent/state.json`, and either ended or undone. The state is written before the link, so a link that leads to a bundle
on trial is always known to be one.
"""

import fcntl
import os
import time
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, Optional

from runners.agent import VERSION, agent_state, status_outbox, trial_watch
from runners.agent.agent_config import Config, is_within
from runners.agent.agent_state import AgentState, Trial
from runners.agent.retrieval import retrieve
from runners.agent.self_testing import SelfTest, self_test
from runners.agent.slots import Slots
from runners.agent.troubles import Rejected, Unavailable, Untrusted
from runners.agent.trusted_metadata import Signed, TrustedMetadata
from runners.contract import device_folder, rollout
from runners.contract.device_status import MOST_REASON, DeviceStatus
from runners.edge import durable, procfs
from runners.edge.aloud import say
from runners.edge.refused import Refused

SPOOL = os.path.join(device_folder.AGENT, "spool")
LOCK = os.path.join(device_folder.AGENT, "lock")
AHEAD_S = 24 * 3600.0  # a clock that goes back by more was wrong before


def log(text: str) -> None:
    """One line for the journal."""
    say(text)


class Device:
    """A device's folder, and what the agent does in it. `test` is asked for a self-test: a slot's path."""

    def __init__(self, home: str, config: Config, test: Optional[Callable[[str], SelfTest]] = None) -> None:
        self.home, self.config = os.path.abspath(home), config  # the self-test starts in another folder
        home = self.home
        self._test = test or (lambda slot: self_test(config.camera_python, slot, config.camera_device))
        try:
            for folder in (device_folder.AGENT, device_folder.SLOTS, SPOOL):
                durable.make_folder(os.path.join(home, folder))
        except OSError as error:
            raise Refused("{}: is no folder that the agent can write to: {}".format(home, error.strerror)) from error
        self.slots = Slots(home)
        self.trusted = TrustedMetadata(home, config.root)
        self.state = agent_state.load(home)
        self._boot = procfs.boot()
        self._frames = 0  # that the camera program had looked at when it was last seen

    @contextmanager
    def alone(self, patience_s: float = 0.0) -> Iterator[None]:
        """Nobody else works in this folder meanwhile; what was left by an end in between is put right first.

        Raises:
            Unavailable: somebody still does after `patience_s`.
        """
        handle = os.open(os.path.join(self.home, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            until_s = time.monotonic() + patience_s
            while not _locked(handle):
                if time.monotonic() >= until_s:
                    raise Unavailable("another agent works in {} now".format(self.home))
                time.sleep(0.2)
            self.trusted = TrustedMetadata(self.home, self.config.root)
            self.state = agent_state.load(self.home)
            self._recover()
            yield
        finally:
            os.close(handle)

    def offers(self, url: Optional[str] = None) -> Dict[str, Signed]:
        """What is signed for this device's target and channel now, by its TUF target.

        Raises:
            Unavailable: see `TrustedMetadata.refresh`.
            Untrusted: see there, or it is signed for another target.
        """
        found = self.trusted.refresh(url or self.config.metadata_url, *self.config.offers)
        for path, signed in found.items():
            if signed.offer.target != self.config.target:
                raise Untrusted("{}: a bundle for {} is signed there".format(path, signed.offer.target))
        return found

    def wanted(self, offers: Dict[str, Signed], *, at_once: bool = False) -> Optional[Signed]:
        """Which is to run: the one that is rolled out, if it is this device's turn and it was not given up here, or
        `at_once`; else the base.
        """
        base, newer = self.config.offers
        signed = offers.get(newer)
        if signed is not None:
            plan, version = signed.offer.rollout, signed.offer.version
            due = plan is None or rollout.due_s(plan, self.config.device, version) <= self.trusted.now_s()
            if at_once or ((due or self.is_running(signed)) and self.why_not(signed) is None):
                return signed
        return offers.get(base)

    def is_running(self, signed: Signed) -> bool:
        """Whether it is what runs already, on trial or not."""
        return self._slot(signed) == self.slots.current

    def why_not(self, signed: Signed) -> Optional[str]:
        """Why this bundle is not tried again, if it was given up and nothing else was signed of it since."""
        failed = self.state.failed.get(signed.sha256)
        return failed["reason"] if failed is not None and failed["digest"] == signed.digest else None

    def why_later(self) -> Optional[str]:
        """Why no update is taken just now."""
        now = time.localtime(self.trusted.now_s())
        if os.path.exists(self.config.inhibit):
            return "{} is there".format(self.config.inhibit)
        if not is_within(self.config.window, now.tm_hour, now.tm_min):
            return "it is not the time: {}".format(self.config.window)
        return None

    def take(self, signed: Signed, url: Optional[str] = None, *, confirm_later: bool = False) -> None:
        """Fetch, unpack, test and switch to a bundle, which is on trial then; with `confirm_later` by hand.

        `url` is where it lies, if not where all do.

        Raises:
            Unavailable: it cannot be had now.
            Untrusted: what came is not what was signed.
            Rejected: it will not do. What ran before runs on, and this is remembered and told.
        """
        offer, before = signed.offer, self.slots.current
        name = "{}.{}".format(signed.sha256, offer.name)
        url = url or "{}/{}/{}".format(self.config.targets_url.rstrip("/"), offer.release, name)
        part = os.path.join(self.home, SPOOL, signed.sha256)
        slot = self._slot(signed)
        self.make_room(slot, part)
        try:
            if self.slots.manifest(slot) is None:
                log("{}: fetching {}, {} bytes".format(offer.version, url, signed.length))
                most = self.config.kib_per_second
                retrieve(url, part, signed.length, signed.sha256, most and most << 10)
                slot = self.slots.unpacked(part, signed)
                os.unlink(part)
            tested = self._test(self.slots.path(slot))
            if tested.verdict != "pass":
                raise Rejected("self-test: {}".format(tested.reason))
        except Rejected as error:
            if os.path.exists(part):
                os.unlink(part)
            self._give_up(signed, str(error))
            raise
        seen = trial_watch.camera(self.home, self._boot, time.monotonic())
        # Somebody may take it back to what was good before, not to what was on trial itself.
        previous = self.state.trial.previous if self.state.trial is not None else before
        trial = Trial(
            signed.sha256, signed.digest, offer.version, previous if previous != slot else self.state.previous,
            tested.verdict, self._boot, time.monotonic(), had_camera=seen is not None, fps=seen.fps if seen else None,
            by_hand=confirm_later,
        )  # fmt: skip
        kept = {sha256: row for sha256, row in self.state.failed.items() if sha256 != signed.sha256}
        self._save(self.state._replace(trial=trial, failed=kept, rolled_back=False, tested=self._today()))
        self.slots.switch(slot)
        log("{}: on trial in slots/{}".format(offer.version, slot))
        self.tell()

    def watch(self) -> Optional[trial_watch.Judgement]:
        """Look at the trial, and end it where something can be said; None where there is none."""
        trial = self.state.trial
        if trial is None:
            return None
        now_s, slot = time.monotonic(), self._name(trial.sha256)
        seen = trial_watch.camera(self.home, self._boot, now_s)
        if seen is not None and seen.slot == slot and seen.monotonic_s >= trial.since_s:
            if trial.seen_s is None:
                trial = trial._replace(seen_s=now_s)
            elif seen.frames < self._frames:
                trial = trial._replace(restarts=trial.restarts + 1)
            self._frames = seen.frames
            self._save(self.state._replace(trial=trial))
        trial_s = self.config.trial_minutes * 60
        found = trial_watch.judge(trial, slot, seen, now_s, trial_s, self.config.least_fps)
        if found.good is False:
            self.roll_back(found.why)
        elif found.good and not trial.by_hand:
            self.confirm()
        return found

    def confirm(self) -> None:
        """The bundle on trial is good; what ran before it stays to go back to.

        Raises:
            Refused: none is on trial.
        """
        trial = self._on_trial()
        self._save(
            self.state._replace(sha256=trial.sha256, previous=trial.previous, trial=None, self_test=trial.self_test)
        )
        log("{}: good".format(trial.version))
        self.tell()
        self.make_room()

    def roll_back(self, why: str) -> None:
        """The bundle on trial is not good; what ran before runs again, if there was anything.

        Raises:
            Refused: none is on trial.
        """
        trial = self._on_trial()
        manifest = self.slots.manifest(trial.previous)
        failed = self.state.with_failed(trial.sha256, trial.digest, trial.version, why[:MOST_REASON])
        if manifest is None or trial.previous is None:
            # There is nothing to go back to: a camera with this model is more than none.
            self._save(failed._replace(trial=None, sha256=trial.sha256, self_test=trial.self_test))
            log("{}: not good, and nothing is there to go back to: {}".format(trial.version, why))
        else:
            self._save(failed)  # the trial stays in it until the link is back
            self.slots.switch(trial.previous)
            self._save(self.state._replace(trial=None, rolled_back=True))
            log("{}: not good, back to {}: {}".format(trial.version, manifest.version, why))
        self.tell()
        self.make_room()

    def check_numerics(self) -> None:
        """Once a day, and after each start of the device, test what runs: a driver or a chip may have changed.

        A failure is told and nothing else: the model is the same as ever, and another would not be better.
        """
        slot = self.slots.current
        if slot is None or self.state.trial is not None or self.state.tested == self._today():
            return
        self._save(self.state._replace(tested=self._today()))  # once, also where it ends the device
        try:
            found = self._test(self.slots.path(slot))
        except Unavailable as error:
            found = SelfTest("not_measured", str(error))
        changed = found.verdict != self.state.self_test
        self._save(self.state._replace(self_test=found.verdict))
        if changed:
            log("self-test of what runs: {} {}".format(found.verdict, found.reason))
            self.tell()

    def tell_daily(self) -> None:
        """A record a day, also when nothing happens."""
        if self.state.reported != self._today():
            self.tell()

    def note(self, trouble: Optional[str], *, tell: bool = False) -> None:
        """Remember what a look for updates ended with; `tell` if that is news."""
        news = (trouble is None) != (self.state.trouble is None)
        self._save(self.state._replace(trouble=trouble and trouble[:MOST_REASON]))
        if tell and news:
            self.tell()

    def tell(self) -> None:
        """Put a record of how it is now into the outbox."""
        status = self.status()
        # Two records have two names, where a clock stands still too; none has the date of a clock that was ahead.
        if time.time() < status.time_s or status.time_s > self.state.told_s - AHEAD_S:
            status = status._replace(time_s=max(status.time_s, self.state.told_s + 0.002))
        self._save(self.state._replace(reported=self._today(), told_s=status.time_s))
        status_outbox.put(self.home, status)

    def status(self) -> DeviceStatus:
        """How it is now."""
        state, trial, slot = self.state, self.state.trial, self.slots.current
        manifest = self.slots.manifest(slot)
        seen = trial_watch.camera(self.home, self._boot, time.monotonic())
        newest = list(state.failed.values())[-1:]
        word = "no_model" if manifest is None else "running"
        if manifest is not None and (trial is not None or state.rolled_back):
            word = "trial" if trial is not None else "rolled_back"
        sha256 = trial.sha256 if trial is not None else state.sha256
        known = slot is not None and sha256 is not None and self._name(sha256) == slot
        return DeviceStatus(
            device=self.config.device, target=self.config.target, agent=VERSION,
            time_s=self.trusted.now_s(), state=word,
            version=manifest.version if manifest else None, sha256=sha256 if known else None,
            self_test=trial.self_test if trial is not None else state.self_test,
            failed=newest[0]["version"] if newest else None, reason=newest[0]["reason"] if newest else None,
            trouble=state.trouble, channel=self.config.channel,
            fps=seen.fps if seen else None, watts=seen.watts if seen else None,
            throttled=seen.throttled if seen else None,
        )  # fmt: skip

    def _recover(self) -> None:
        """Put right what an end in between has left."""
        self.slots.tidy()
        trial, current = self.state.trial, self.slots.current
        if current is None:
            # `current` is replaced in one step, so this is the first start, or somebody else's work. Any whole slot
            # lets the camera start.
            for slot in [self.state.sha256 and self._name(self.state.sha256), self.state.previous]:
                if slot and self.slots.manifest(slot) is not None:
                    log("current leads nowhere; back to slots/{}".format(slot))
                    self.slots.switch(slot)
                    current = slot
                    break
        if trial is None:
            return
        failed = trial.sha256 in self.state.failed
        if current != self._name(trial.sha256):  # never switched to, or already switched back
            self._save(self.state._replace(trial=None, rolled_back=failed))
        elif failed:
            self.roll_back(self.state.failed[trial.sha256]["reason"])
        elif trial.boot != self._boot:
            trial = trial._replace(boot=self._boot, since_s=time.monotonic(), seen_s=None, boots=trial.boots + 1)
            self._save(self.state._replace(trial=trial))

    def _on_trial(self) -> Trial:
        if self.state.trial is None:
            raise Refused("no bundle is on trial")
        return self.state.trial

    def _give_up(self, signed: Signed, why: str) -> None:
        log("{}: refused: {}".format(signed.offer.version, why))
        self._save(self.state.with_failed(signed.sha256, signed.digest, signed.offer.version, why[:MOST_REASON]))
        self.tell()
        self.make_room()

    def make_room(self, slot: Optional[str] = None, part: str = "") -> None:
        """Delete slots that are neither current nor to go back to, and downloads, but what is begun of this bundle."""
        trial = self.state.trial
        self.slots.collect([slot, trial.previous if trial is not None else self.state.previous])
        spool = os.path.join(self.home, SPOOL)
        for name in os.listdir(spool):
            if os.path.join(spool, name) != part:
                os.unlink(os.path.join(spool, name))

    def _today(self) -> str:
        return "{} {}".format(time.strftime("%Y-%m-%d", time.gmtime(self.trusted.now_s())), self._boot)

    def _slot(self, signed: Signed) -> str:
        return self._name(signed.sha256)

    @staticmethod
    def _name(sha256: str) -> str:
        return os.path.basename(device_folder.slot(sha256))

    def _save(self, state: AgentState) -> None:
        if state != self.state:
            agent_state.save(self.home, state)
        self.state = state


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with the process, however it ends
    except BlockingIOError:
        return False
    return True
