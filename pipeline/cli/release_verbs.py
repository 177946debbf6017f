"""edgeproof release: from results that pass to what devices download, and back."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from pipeline.cli.group import Group
from pipeline.system.errors import InputError

FILE = click.Path(path_type=Path)
KEY_PASSWORD = "EDGEPROOF_KEY_PASSWORD"  # a variable
ROOT_KEY = "New root key, which stays offline (such as a USB stick)"
ONLINE_KEY = "New online key, which becomes a secret of the environments `release` and `registry`"
registry_option = click.option(
    "--registry", type=FILE, default=Path("releases"), show_default=True, help="The folder that a static host serves."
)
key_option = click.option(
    "--online-key", type=FILE, help="The file of the online key; by default the variable EDGEPROOF_ONLINE_KEY is it."
)
encrypt_option = click.option(
    "--encrypt", is_flag=True, help=f"Encrypt a new root key with a password, asked for or in {KEY_PASSWORD}."
)
channel_option = click.option("--channel", help="Only this channel.")
target_option = click.option("--target", help="Only this device; `edgeproof targets` lists them.")


@click.group(cls=Group)
def release() -> None:
    """Build, sign, publish and roll out what devices download.

    The registry is a folder of TUF metadata and bundles. An offline key says which keys count; the online key signs
    what is offered. release.yaml sets the steps of a rollout; docs/release.md explains all of it.
    """


@release.command()
@registry_option
@click.option("--root-key", type=FILE, prompt=ROOT_KEY, help=f"{ROOT_KEY}.")
@click.option("--online-key", type=FILE, prompt=ONLINE_KEY, help=f"{ONLINE_KEY}.")
@encrypt_option
def init(registry: Path, root_key: Path, online_key: Path, encrypt: bool) -> None:
    """Make two new keys and a registry that offers nothing yet."""
    from pipeline.release import signing
    from pipeline.release.tuf_registry import Registry

    made = Registry(registry)
    made.check_new()
    for path in (root_key, online_key):
        signing.check_new(path, may_exist=made.is_begun)  # where this was stopped half way, it goes on with its keys
    if root_key.absolute() == online_key.absolute():
        raise InputError(f"{root_key}: give each key a file of its own")
    password = _new_password() if encrypt and not root_key.exists() else ""
    made.begin()
    root = signing.load(root_key, _password) if root_key.exists() else signing.make(root_key, password)
    online = signing.load(online_key, _password) if online_key.exists() else signing.make(online_key)
    made.found(root, online)
    click.echo(f"{registry}: offers nothing yet; devices are shipped with {registry / 'metadata' / '1.root.json'}")
    click.echo(f"{root_key}: keep it offline; without it lost keys can never be replaced")
    click.echo(f"{online_key}: the secret EDGEPROOF_ONLINE_KEY of the environments release and registry")


@release.command()
@registry_option
@click.argument("tag")
@click.option("--target", "targets", multiple=True, help="Only for this device; may be given several times.")
@click.option("--candidate", metavar="MODEL/METHOD", help="Instead of the most accurate one that passes.")
@click.option("--allow-not-measured", metavar="REASON", help="Release though a required lane was not measured.")
def build(
    registry: Path, tag: str, targets: tuple[str, ...], candidate: str | None, allow_not_measured: str | None
) -> None:
    """Build what the TAG (v1.2.3, name@v1.2.3, name#stage) releases: a bundle for each target, and the notes.

    Each target gets the candidate that passes with the least loss of accuracy. It refuses where none passes, or where a
    lane that release.yaml requires is not measured. Goes to artifacts/releases/; the same input gives the same bytes.
    """
    from pipeline.project.params import load_params
    from pipeline.release import bundling, release_notes, tags
    from pipeline.release.release_settings import load_settings
    from pipeline.release.tuf_registry import Registry
    from pipeline.system import files, workflow_commands

    reason = " ".join((allow_not_measured or "").split())
    if allow_not_measured is not None and not reason:
        raise InputError("--allow-not-measured: say why; the reason is printed in the notes")
    parsed, params, before = tags.parse(tag), load_params(), Registry(registry)
    made = bundling.build(parsed, params, load_settings(), targets=targets, named=candidate, allowed=reason or None)
    notes = release_notes.render(made, before if before.exists else None, parsed.channel)
    files.write_bytes(bundling.folder_of(parsed.release) / bundling.NOTES, notes.encode())
    for one, bundle in made:
        click.echo(f"{bundle.offer.target}: {one.result.candidate}, {bundle.length:,} bytes, {bundle.sha256}")
    workflow_commands.output("release", parsed.release)
    bundles = [{"target": bundle.offer.target, "file": bundle.file_name} for _, bundle in made]
    workflow_commands.output("bundles", json.dumps(bundles))
    workflow_commands.summarize(notes)


@release.command()
@registry_option
@key_option
@click.argument("built")
@click.option("--channel", help="Instead of the one that the tag names.")
def publish(registry: Path, online_key: Path | None, built: str, channel: str | None) -> None:
    """Offer what was BUILT (a release's name, or its folder) to the first step of the devices."""
    from pipeline.release import bundling, publishing
    from pipeline.release.release_settings import load_settings

    folder = Path(built) if Path(built).is_dir() else bundling.folder_of(built)
    phases = load_settings().rollout
    _tell(publishing.publish(_registry(registry), _online(online_key), folder, phases, channel))


@release.command()
@registry_option
@key_option
@channel_option
@target_option
@click.option("--all", "to_all", is_flag=True, help="To everybody, whatever the steps are.")
def promote(registry: Path, online_key: Path | None, channel: str | None, target: str | None, to_all: bool) -> None:
    """Go to the next step of what is rolled out; after the last one it is what everybody runs."""
    from pipeline.release import publishing
    from pipeline.release.release_settings import load_settings

    found, phases = _registry(registry), load_settings().rollout
    paths = publishing.rolled_out(found, channel, target)
    if not paths:
        raise InputError("nothing is being rolled out there; `edgeproof release verify` lists what is offered")
    _tell(publishing.promote(found, _online(online_key), phases, paths, to_all=to_all))


@release.command()
@registry_option
@key_option
@channel_option
@target_option
@click.option("--to", metavar="VERSION", help="Offer this earlier version to everybody again.")
def rollback(registry: Path, online_key: Path | None, channel: str | None, target: str | None, to: str | None) -> None:
    """Take back what is rolled out. Devices that have it go back by themselves, since the old one is what is signed."""
    from pipeline.release import publishing

    found = _registry(registry)
    paths = (publishing.offered if to else publishing.rolled_out)(found, channel, target)
    if not paths:
        raise InputError("nothing is being rolled out there; name the version to go back to, by --to")
    _tell(publishing.roll_back(found, _online(online_key), paths, to))


@release.command()
@registry_option
@key_option
@channel_option
@click.option("--inbox", type=FILE, required=True, help="The folder with the devices' status records.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def rollout(registry: Path, online_key: Path | None, channel: str | None, inbox: Path, dry_run: bool) -> None:
    """Go on with every rollout, or take it back, by what the devices report. The inbox is taken for hostile.

    Exit codes: 0 gone on, or its time is not over, 1 taken back, 3 too few devices reported.
    """
    from pipeline.records.gates import EXIT_CODES
    from pipeline.release import fleet_reports, rollout_step
    from pipeline.release.release_settings import load_settings
    from pipeline.system import workflow_commands

    workflow_commands.stop()
    settings, fleet = load_settings(), fleet_reports.read_fleet(inbox)
    key = None if dry_run else _online(online_key)
    found = rollout_step.decide(_registry(registry), key, fleet, settings.rollout, channel)
    click.echo(f"devices that reported: {len(fleet.devices):,}; files that are no record: {fleet.refused:,}")
    _tell([one.sentence for one in found] or ["nothing is being rolled out"])
    sys.exit(EXIT_CODES[rollout_step.verdict(found)])


@release.command()
@click.argument("folder", type=FILE)
@click.option("--inbox", envvar="EDGEPROOF_INBOX", show_envvar=True, required=True, help="Its address.")
def reports(folder: Path, inbox: str) -> None:
    """Copy the newest status record of each device from the inbox to a new FOLDER.

    The inbox's address, its keys and passwords are as for `edgeproof ingest pull`.
    """
    from pipeline.release import fleet_reports

    click.echo(f"{fleet_reports.fetch(inbox, folder):,} records")


@release.command()
@registry_option
@key_option
def resign(registry: Path, online_key: Path | None) -> None:
    """Sign the timestamp anew, and what else has less than half of its time left. Run it every week."""
    _tell([f"signed anew: {', '.join(_registry(registry).resign(_online(online_key)))}"])


@release.command()
@registry_option
@click.option("--root-key", "root_keys", type=FILE, multiple=True, required=True, help="The old one, the new one.")
@click.option("--new-root", type=FILE, help="The new root key, or its public half; made where there is no such file.")
@click.option("--new-online", type=FILE, help="The new online key; made where there is no such file.")
@encrypt_option
def rotate(
    registry: Path, root_keys: tuple[Path, ...], new_root: Path | None, new_online: Path | None, encrypt: bool
) -> None:
    """Replace keys, or give the root another three years. A new root has to be signed by the old key and by the new.

    Where both are not on one machine, the root waits as metadata/next.root.json: call this there again, with the other
    --root-key alone (and --new-online, if that changes). After a theft of the online key replace it at once.
    """
    from pipeline.release import signing

    found = _registry(registry)
    signers = [signing.load(path, _password) for path in root_keys]
    new = [path for path in (new_root, new_online) if path is not None and not path.exists()]
    for path in new:
        signing.check_new(path)
    password = _new_password() if encrypt and new_root in new else ""
    for path in new:
        signing.make(path, password if path == new_root else "")
        click.echo(f"{path}: a new key")
    root = signing.public(new_root, _password) if new_root else None
    if new_root and root and signing.is_private(new_root):
        signers.append(signing.load(new_root, _password))
    online = signing.load(new_online, _password) if new_online else None
    missing = found.rotate(signers, root, online)
    if missing:
        click.echo(f"waits for {', '.join(key[:12] for key in missing)}: metadata/next.root.json")
    else:
        click.echo(f"{registry}: root {found.root().signed.version} is signed")


@release.command()
@registry_option
@click.option("--root", type=FILE, help="The root that devices were shipped with; by default the first one.")
def verify(registry: Path, root: Path | None) -> None:
    """Read the registry as a device would: signatures, dates, and each bundle with its evidence.

    Exit codes: 0 devices take all of it, 1 they do not, 3 a bundle lies elsewhere.
    """
    from pipeline.records.gates import EXIT_CODES
    from pipeline.records.words import VERDICTS
    from pipeline.release import verifying

    found = verifying.verify(_registry(registry), verifying.shipped_root(root) if root else None)
    for one in found:
        click.echo(f"{VERDICTS[one.verdict]:12}  {one.what}: {one.found}")
    sys.exit(EXIT_CODES[verifying.verdict(found)])


@release.command()
@registry_option
@key_option
@click.option("--target", required=True, help="The device; `edgeproof targets` lists them.")
@click.option("--channel", default="stable", show_default=True, help="Of which a bad copy is made.")
def drill(registry: Path, online_key: Path | None, target: str, channel: str) -> None:
    """Offer a bundle that is known to be bad to the channel `drill`, to see that devices refuse it by themselves."""
    from pipeline.release import drilling

    _tell(drilling.drill(_registry(registry), _online(online_key), target, channel))


def _registry(folder: Path) -> Any:
    from pipeline.release.tuf_registry import Registry

    return Registry(folder)


def _online(path: Path | None) -> Any:
    from pipeline.release import signing

    return signing.online(path, _password)


def _password(path: Path) -> str:
    import os

    given = os.environ.get(KEY_PASSWORD)
    return given or str(click.prompt(f"Password of {path} (or {KEY_PASSWORD})", hide_input=True))


def _new_password() -> str:
    import os

    given, asked = os.environ.get(KEY_PASSWORD), f"Password of the root key (or {KEY_PASSWORD})"
    return given or str(click.prompt(asked, hide_input=True, confirmation_prompt=True))


def _tell(sentences: list[str]) -> None:
    from pipeline.system import workflow_commands
    from pipeline.system.console import escape_markdown

    for sentence in sentences:
        click.echo(sentence)
    workflow_commands.summarize("".join(f"- {escape_markdown(sentence)}\n" for sentence in sentences))


COMMANDS = [release]
