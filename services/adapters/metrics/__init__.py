"""Metrics: what there is, how it is counted, and what can be read from it."""
