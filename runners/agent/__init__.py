"""The agent of a device: takes verified models from a static host, tries them, and tells how it went.

It has the network and no camera; the camera program (`runners/edge/`) has cameras and no network. Both talk through
the files that `runners/contract/device_folder.py` names. Python 3.8, python-tuf and urllib3.
"""

VERSION = "0.1.0"
