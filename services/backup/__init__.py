"""Backups: what a whole exchange needs to go on somewhere else, and how it is put back.

`cut` (pure) says how far logs that were captured one after the other hold together. `manifest` and `stream` are the
format; `create`, `check` and `restore` do the work on ports. `services.runtime` opens what they work on.
"""
