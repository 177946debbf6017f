"""Sends captures and the agent's records to the inbox, and keeps nothing back that is not there.

`Uploads` (uploading.py) is what the agent calls; `python3 -m runners.agent.upload HOME` sends once. Standard library.
"""
