"""The distributed form: one process a service and shard, on a broker and a database. One module a process.

`process` says what all of them have in common; `core` and `projection` hold what both cores and both projections share.
"""
