"""The two loops that drive pure code: `core_shell` a core, `projection_shell` a projection.

A core's shell is log -> journal -> core -> log; a projection's is log -> rows -> store. Both know ports only.
"""
