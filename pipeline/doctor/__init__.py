"""What keeps a project from working, here and on GitHub: one file a check, in `here/` and in `on_github/`."""
