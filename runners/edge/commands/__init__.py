"""What a device can be asked to do: one file each, named as the program is.

Each has a first line that says what it does, `add_arguments(parser)` and `run(given)`, which answers the exit status.
Imports of OpenCV, NumPy and runtimes belong inside `run`, so that `--help` works without them.
"""
