"""Balance events to balances, ledger and trades: `postings` is the pure fold, `service` wires it to the store."""
