"""Options that several commands share, and the kinds of values they take."""

from typing import Any

import click


class Numbers(click.ParamType[Any]):
    """Numbers between commas, such as 0.485,0.456,0.406."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """The numbers as a tuple of floats."""
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r}: give one number, or one for each channel with commas between", param, context)


class Size(click.ParamType[Any]):
    """One side, or height x width: 224 or 96x160."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """The size as (height, width)."""
        sides = str(value).lower().split("x")
        if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
            self.fail(f"{value!r}: give one side, or HxW, such as 224 or 96x160", param, context)
        return int(sides[0]), int(sides[-1])


class Machine(click.ParamType[str]):
    """A machine that `edgeproof repeat` trains as on; it says itself which there are."""

    name = "machine"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """All names."""
        from pipeline.repeat.machines import MACHINES

        return "|".join(MACHINES)


NUMBERS, SIZE, MACHINE = Numbers(), Size(), Machine()
TASK = click.Choice(["classes", "tags", "map", "values"])  # as pipeline/check/task.py has them


IMAGE_OPTIONS = (
    click.option(
        "--preset", type=click.Choice(["imagenet", "tensorflow"]), help="By default what the model says, or imagenet."
    ),
    click.option("--mean", type=NUMBERS, help="Instead of the preset's, for pixels of 0 to 1: one number or R,G,B."),
    click.option("--std", type=NUMBERS, help="Likewise."),
    click.option(
        "--resize",
        type=click.Choice(["crop", "stretch", "square"]),
        help="By default crop; square for models that this pipeline exported and for imported data.",
    ),
)


def image_options(command: Any) -> Any:
    """How image files become inputs, for commands that take them."""
    for option in reversed(IMAGE_OPTIONS):
        command = option(command)
    return command


JUDGING_OPTIONS = (
    click.option("--task", type=TASK, help="What the output is judged as; by default what graph and labels say."),
    click.option("--max-difference", type=click.FloatRange(0), help="Per cent that the outputs' values may be apart."),
    click.option(
        "--confidence",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="Such as 0.9: judge the whole interval that a loss lies in, and say so where it does not tell.",
    ),
    click.option(
        "--accept-unaudited", is_flag=True, help="Let pass what no emulated CPU has proven, where there is no emulator."
    ),
    click.option(
        "--audit-seconds",
        type=click.FloatRange(0),
        default=300.0,
        show_default=True,
        help="Time for the emulated CPU to prove the answers, or to calculate them where nothing faster can.",
    ),
)


def judging_options(command: Any) -> Any:
    """As what, and how strictly, the answers of a model are judged, for commands that do."""
    for option in reversed(JUDGING_OPTIONS):
        command = option(command)
    return command
