"""What ends a program with one line: something that a command names is missing or wrong, exit status 2."""


class Refused(Exception):
    """The message says what it is and what to do."""


class Lacking(Refused):
    """This Python has not what a program needs, so that nothing is known of what it was asked about: status 3."""


class Failed(Refused):
    """What worked at the start no longer does, a runtime or its driver: status 1."""
