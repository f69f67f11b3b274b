"""The gateway: REST in front of the log. Stateless; any number of them.

A request comes in through `edge` (metrics), is authenticated by `auth`, read strictly by `reading`, becomes a command
in the module of its noun (`orders`, `transfers`, `users_admin` …), goes through `dispatcher` to `commands` (written to
balance.operations) and comes back through `outcomes` (read from balance.events and engine.outputs). Queries go to the
cores' memory or to the store instead. `app` puts it together.
"""
