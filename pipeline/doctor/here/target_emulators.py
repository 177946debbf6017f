"""Whether what proves the targets' answers is installed."""

from collections.abc import Iterator

from pipeline import emulators
from pipeline.doctor.examined import Subject
from pipeline.doctor.finding import Finding, well, wrong


def look(subject: Subject) -> Iterator[Finding]:
    """Of every target in params.yaml that an emulator is for."""
    needed = {target.name: target.emulation.emulator for target in subject.targets if target.emulation.emulator}
    for target, emulator in needed.items():
        if emulators.installed(emulator):
            yield well(f"{emulator}, for {target}")
        else:
            yield wrong(
                f"{emulator}, which proves the answers of {target}, is not installed",
                "what nobody has audited is not measured, and nothing passes so",
                f"edgeproof emulators install --target {target}",
            )
    if not needed:
        yield well("no target of params.yaml needs one")
