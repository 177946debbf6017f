"""Checks of this machine and this folder; one file each."""
