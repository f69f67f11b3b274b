"""The matcher: price-time books of a shard's symbols, and no balances.

orders  ->  engine.py    the core: one MatchResult for every command, chained by hash   (chain.py)
            matching.py  how one order meets one book
            book.py      who is first in line
            snapshot.py  the state as bytes
"""
