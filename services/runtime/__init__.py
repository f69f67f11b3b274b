"""Where production code is wired together, and nowhere else. `local` is the whole exchange in one process."""
