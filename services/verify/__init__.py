"""Whether an exchange's state is what its log says: recompute everything from the log alone, and compare.

`fold` makes the cores again and holds what they say against what the log holds; `books` recomputes the store's tables
from the events and holds them against the store. Nothing here writes. `services.runtime.verification` opens the files.
"""
