"""Watches a board while a program runs on it: power and health, in a process of its own. Python 3.6."""
