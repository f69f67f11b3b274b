"""Deterministic simulation: the production cores, shells, journals and gateways in a world where one seed decides all.

    loop        an event loop with virtual time: no thread, no selector, no wall clock
    process     groups of tasks that can be killed between any two steps
    faults      which faults a seed brings, how often, and whether they are still on
    broker, disk, database, clock    the ports, each with its faults
    tables, cells    the rows of the database, with and without transactions
    clients     what `users` and `administrators` have in common: they remember what they were promised
    programs    what a process runs: a core, a projection, a gateway, on simulated ports
    nodes       the supervisor: keeps each program running
    world       one exchange of many nodes, and the nemesis that kills them
    audit       an independent second opinion on everything that is on the log and in the store
    run         one seed from start to verdict

The same seed gives the same world, byte for byte, in any process. `exchange simulate` is its command line.
"""
