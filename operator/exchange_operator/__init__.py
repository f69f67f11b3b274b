"""The operator: keeps every `Exchange` resource of a cluster true.

    resource -> manifests -> plan -> cluster        what is asked for, what that means, what is missing, making it so

`resource`, `manifests`, `plan`, `readiness`, `status`, `deletion` and `symbols` are pure. `cluster` and `gateway_api`
hold the libraries. `reconcile` is one pass over one exchange, `handlers` tells kopf when to make one.
"""
