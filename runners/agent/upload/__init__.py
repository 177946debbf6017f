"""Sends captures and the agent's records to the inbox, and keeps nothing back that is not there.

`Sender` (sender.py) is what the agent starts; `python3 -m runners.agent.upload HOME` sends once. Standard library.
"""
