"""Log lines: how they look, where they go, which are written."""
