"""What a user can put right: raised with one clear line, printed without a traceback, exit code 2."""


class InputError(Exception):
    """Something given by the user is missing or wrong; the message says what it is and what to do."""
