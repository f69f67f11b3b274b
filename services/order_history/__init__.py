"""Order updates to orders and totals: `projection` is the pure fold, `service` wires it to the store."""
