"""The libraries, behind ports (ports.py). Log, directory and store have a contract suite each, in tests/contracts."""
