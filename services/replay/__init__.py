"""Recorded order flow through the whole exchange: `exchange replay FILE`.

lobster   the files, strictly                     text -> messages and book rows
plan      what each message means to an exchange  messages -> commands
compare   how near our book came to the recorded one
player    a fresh exchange, funded users, and the commands
"""
