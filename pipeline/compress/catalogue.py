"""The steps in words, from their own docstrings and settings."""

import inspect
from textwrap import indent
from typing import Any

import yaml

from pipeline.compress import steps
from pipeline.compress.step import Step


def describe_steps() -> str:
    """Every step with what it does, its settings, and how it is written in params.yaml."""
    return "\n\n".join(_describe(steps.step(name)) for name in steps.names())


def _describe(step: type[Step]) -> str:
    settings = [_setting(name, field) for name, field in sorted(step.model_fields.items())]
    order = [f"Goes before {other}: {why}." for other, why in step.goes_before.items()]
    order += [f"{why[0].upper()}{why[1:]}." for why in (*step.excludes.values(), step.last) if why]
    order += ["Once only."] if step.once else []
    written = yaml.safe_dump({step.title(): step.example}, default_flow_style=None, sort_keys=False, width=10_000)
    lines = [inspect.cleandoc(step.__doc__ or ""), "", *settings, "", *order, f"- {written.strip()}"]
    return f"{step.title()}\n" + indent("\n".join(lines), "  ")


def _setting(name: str, field: Any) -> str:
    kind = field.annotation.__name__ if isinstance(field.annotation, type) else str(field.annotation)
    facts = [kind.replace("typing.", "").replace(" | None", "")]
    if field.is_required():
        facts.append("required")
    elif field.default is not None:
        facts.append(f"default {field.default}")
    return f"{name} ({', '.join(facts)})" + (f": {field.description}" if field.description else "")
