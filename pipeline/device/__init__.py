"""The device lane: a candidate on a board, from the first look at the board to the record.

    subject.py      what is tested: a candidate of the project, or an exported folder
    golden.py       a small network whose answers are known: is the board sound?
    on_board.py     a board that was looked at, and what a model answers there
    emulation.py    what the emulated lane answers on the same regions
    session.py      the stages in their order; one that fails leaves those behind it unmeasured
    verdicts.py     the record and what it comes to
    plugin.py       the same for pytest

`tests/device/` goes through a session with pytest, `edgeproof device run` without.
"""
