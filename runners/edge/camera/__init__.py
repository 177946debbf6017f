"""Frames from cameras and files: one killable process a camera decodes, the newest frame is handed out.

`Camera` (camera.py) is what a program uses. Python 3.6, NumPy and OpenCV.
"""
