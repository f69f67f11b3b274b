"""A whole trading day, played against a running exchange over HTTP alone: `exchange demo`, and the end-to-end test.

client    the API as three users and an administrator use it
books     an auditor that works out every balance by itself
scene     what all chapters share: placing, cancelling, moving funds, and checking each of it
chapters  what happens; review: queries, ledgers, sums and logs afterwards
story     the order of it all

smoke     a test of its own, for exchanges that others trade on: `exchange smoke`; smoke_price: at which price
"""
