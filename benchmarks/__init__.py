"""How fast the parts are on this machine. Each prints tables and ratios; none is a test."""
