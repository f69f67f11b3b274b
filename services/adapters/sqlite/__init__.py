"""The local form: log and store, a SQLite file each."""
