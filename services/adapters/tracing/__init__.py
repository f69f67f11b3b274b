"""Traces: what is asked of them (port.py), how they travel in frames (headers.py), how they leave (otlp.py)."""
