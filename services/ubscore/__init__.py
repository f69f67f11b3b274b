"""The User Balance Service: the only authority on balances.

`core.UbsCore` folds balance.operations into balances, reservations and answers; `accounts` holds the state of a user,
`checks` decides whether an order may pass, `memory` remembers first answers, `snapshot` is the state as bytes.
`service` serves reads from memory. The loop that feeds the core is `services.shell.core_shell`.
"""
