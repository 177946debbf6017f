"""Boards in a lab: what there is, how each is reached, what lies on it, and how it was before.

    board_file.py        a board's YAML file
    lab_environment.py   what of it is labgrid's
    access.py            run, put and get within a time: the one interface
    ways.py              which of these a board has:
    over_ssh.py          a board over SSH, by labgrid
    on_this_machine.py   this machine, as it is or as a target that is not there
    recorded_boards.py   what /sys and /proc show on such a target
    second_chance.py     a power cycle and a second try
    kit.py               programs, bundles and files on a board
    past.py              what the golden bundle showed on a board before
    presence.py          does it answer, and is it well?

Nothing here knows of candidates.
"""
