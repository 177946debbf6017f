"""Checks of the repository's settings and runners, through GitHub's REST API; one file each."""
