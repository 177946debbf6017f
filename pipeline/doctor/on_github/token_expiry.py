"""Whether the token that asks is valid for a while yet."""

from collections.abc import Iterator
from datetime import timedelta

from pipeline.doctor.examined import Subject
from pipeline.doctor.finding import Finding, well, wrong

SOON = timedelta(days=14)


def look(subject: Subject) -> Iterator[Finding]:
    """As GitHub says with each answer, for tokens that expire."""
    assert subject.repository  # asks, where nothing was asked before
    expires = subject.github.expires
    if expires is None:
        yield well("GitHub names no day on which this token expires")
    elif expires - subject.now > SOON:
        yield well(f"valid until {expires:%Y-%m-%d}")
    else:
        yield wrong(
            f"the token expires on {expires:%Y-%m-%d}",
            "a board whose /etc/edgeproof/token is the same one registers no runner from then on",
            f"{subject.github.server}/settings/personal-access-tokens",
        )
