"""What there is to choose from: models, methods, targets, emulators."""

from collections.abc import Sequence

import click

from pipeline.cli.group import Group


@click.command()
def models() -> None:
    """List the architectures."""
    import models

    for name in models.names():
        click.echo(f"{name:20} {models.spec(name).description}")


@click.command()
def methods() -> None:
    """Explain the steps that a recipe in params.yaml is made of."""
    from pipeline.compress.catalogue import describe_steps

    click.echo(describe_steps())


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def targets(context: click.Context) -> None:
    """List the devices, or explain one."""
    from pipeline.records.targets import load_target, target_names

    if context.invoked_subcommand is None:
        for name in target_names():
            click.echo(f"{name:20} {load_target(name).description}")


@targets.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Explain the target NAME: what it is, what is asked of it, how it is emulated, and the source of every fact."""
    from pipeline.arithmetic import kinds
    from pipeline.records.explain import explain
    from pipeline.records.targets import load_target

    target = load_target(name)
    click.echo(explain(target, kinds.of(target).explain(target)))


@click.group(cls=Group, invoke_without_command=True)
@click.pass_context
def emulators(context: click.Context) -> None:
    """List the CPU emulators that audits run on, or install them."""
    from pipeline import emulators

    if context.invoked_subcommand is None:
        for name in emulators.names():
            click.echo(f"{name:20} {_state(name)}: {emulators.purpose(name)}")


@emulators.command("install")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--target", help="Only what checks for this device need.")
def install(names: tuple[str, ...], target: str | None) -> None:
    """Fetch what the emulators NAME (without one: all) need, from Debian's packages and pip's index, without root.

    They go into the cache: EDGEPROOF_CACHE, else ~/.cache/edgeproof. What is there already is left as it is.
    """
    from pipeline import emulators
    from pipeline.records.targets import load_target

    chosen: Sequence[str] = names or emulators.names()
    if target is not None:
        needed = load_target(target).emulation.emulator
        chosen = [*names, *([needed] if needed else [])]
    for name in chosen:
        emulators.purpose(name)  # refuses unknown names before anything is fetched
    for name in chosen:
        emulators.install(name)
        click.echo(f"{name:20} {_state(name)}")


def _state(name: str) -> str:
    from pipeline import emulators

    return f"installed, QEMU {emulators.qemu_version(name)}" if emulators.installed(name) else "not installed"


COMMANDS = [models, methods, targets, emulators]
