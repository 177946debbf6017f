"""What the device and the cloud say to each other: names, units, JSON. Standard library only, Python 3.6."""
