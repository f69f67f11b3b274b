"""The gateway: REST in front of the log. Stateless; any number of them.

A request comes in through `edge` (metrics, log lines), is authenticated by `auth`, read strictly by `reading`, becomes
a command in the module of its noun (`orders`, `transfers`, `admin` …), goes through `dispatcher` to `commands` (written
to balance.operations) and comes back through `outcomes` (read from balance.events and engine.outputs). `app` puts it
together.
"""
