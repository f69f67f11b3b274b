"""The exchange's words: money, instruments, messages, rejects. Pure: no I/O, no clock, no randomness."""
