"""A spot exchange, in the order in which an order flows through it.

    gateway        REST commands in, answers and queries out            `services.gateway`
       | balance.operations                      <-----------------+
    ubscore        the only authority on balances                  |   `services.ubscore`
       | balance.events        | orders                            |
       |                    matcher   price-time books  -----------+   `services.matcher`
       |                       | engine.outputs
    settlement              order_history                              `services.settlement`, `.order_history`
       |                       |
       +------- store ---------+

`services.domain` holds the words and messages that all of them share, `services.shell` the two loops that drive
cores and projections, `services.adapters` the libraries behind ports, and `services.runtime` the only places where
all of it is wired together, with the settings of `services.config`. `services.cli` is the command line.

Beside the flow: `services.verify` recomputes everything from the log, `services.backup` takes all of it elsewhere,
`services.simulation` tries to break it by seeds, `services.replay` feeds recorded order flow through it,
`services.demo` tells a story to newcomers.
"""

__version__ = "0.1.0"
