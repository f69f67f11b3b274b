"""The User Balance Service: the only authority on balances.

`core.UbsCore` folds balance.operations into balances, reservations and answers. Its handlers are in `orders`
(`checks` decides whether one may pass), `settling`, `transfers` and `administration`. They work on `state.State`: users
(`accounts`), first answers (`memory`), limits (`policy`); `snapshot` turns it into bytes and back. `service` serves
reads from memory. The loop that feeds the core is `services.shell.core_shell`.
"""
