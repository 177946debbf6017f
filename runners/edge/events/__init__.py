"""Events: one JSON line each in files that are bounded in size. Python 3.6 and the standard library.

`Writer` (writer.py) takes events from the program and acknowledges them when they are on the disk; `Events`
(segments.py) reads them, whatever happened to the writer.
"""
