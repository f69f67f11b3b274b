"""An independent second opinion: what must be on the log and in the store, computed again from the log, naively.

    accounts   what ubscore must say to every command: plain dictionaries, no reuse of its code
    book       what a matcher must do with every order: plain lists, sorted again at every step
    streams    what the log really holds, source by source, repeats dropped and compared
    tables     what the store must hold
    auditor    puts it together, and says in one sentence what is wrong

Shares messages and rows with the services, and nothing that decides anything.
"""
