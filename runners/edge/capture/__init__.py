"""Captures: regions that are worth learning from, kept on the device until the agent has sent them. Off by default.

`Keeper` (keeper.py) is what the camera program talks to. Python 3.6, NumPy and OpenCV.
"""
