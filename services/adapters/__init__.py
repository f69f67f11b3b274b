"""The libraries, behind ports (ports.py). Each port has one contract suite under tests/contracts."""
