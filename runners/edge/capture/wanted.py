"""What is to be captured: a JSON file that somebody wrote on purpose. Without one nothing is captured.

    {"device": "camera-17"}

Any key of `Wanted` may stand beside it.
"""

from typing import NamedTuple

from runners.contract import records


class Wanted(NamedTuple):
    """`device` is the agent's name for this device, `home` the folder that both share.

    A region is unsure where the two best probabilities are less than `unsure_margin` apart; `random_share` of all
    regions is kept whatever it shows. The three caps count what is captured while the program runs. `blur_heads` makes
    the upper part of what moves unrecognisable (heads.py says what that is worth). The spool has at most `spool_mib`
    MiB.
    """

    device: str
    home: str = "/var/lib/edgeproof"
    unsure_margin: float = 0.2
    random_share: float = 0.001
    most_a_minute: int = 8
    most_an_hour: int = 60
    most_a_day: int = 240
    blur_heads: bool = True
    spool_mib: int = 256


KINDS = {
    "device": str, "home": str, "unsure_margin": float, "random_share": float, "most_a_minute": int,
    "most_an_hour": int, "most_a_day": int, "blur_heads": bool, "spool_mib": int,
}  # type: records.Kinds  # fmt: skip


def read(file: str) -> Wanted:
    """What the file says.

    Raises:
        ValueError: it is missing, damaged, or says what cannot be; the message is one line.
    """
    try:
        given = records.load(file)
        unknown = sorted(set(given) - set(KINDS))
        if unknown:
            raise ValueError("{} is no setting; there are {}".format(unknown[0], ", ".join(KINDS)))
        wanted = Wanted(**records.checked(dict(Wanted._field_defaults, **given), KINDS))
        if not records.is_name(wanted.device):
            raise ValueError("device: give letters, digits and _.+- only")
        for name in ("unsure_margin", "random_share"):
            if not 0 <= getattr(wanted, name) <= 1:
                raise ValueError("{}: give 0 to 1".format(name))
        for name in ("most_a_minute", "most_an_hour", "most_a_day", "spool_mib"):
            if not 1 <= getattr(wanted, name) <= 100000:
                raise ValueError("{}: give 1 to 100000".format(name))
    except ValueError as error:
        raise ValueError("{}: does not say what to capture: {}".format(file, error)) from error
    return wanted
