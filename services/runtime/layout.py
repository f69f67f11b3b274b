"""What is where in the data folder of the local form.

log.sqlite3            the log: all topics
store.sqlite3          what settlement, order_history and the gateway's keys write
ubscore-0, matcher-0   journals and snapshots of the cores
secret.key             what encrypts API secrets and signs tokens (see credentials.py)
credentials.json       the first API keys (see credentials.py)
address                where the running exchange answers, such as http://127.0.0.1:3001
logs                   the JSON logs, unless LOG_DIR or --log-to says otherwise
LOCK                   held by the process that runs here (see `files.FolderLock`)
"""

from typing import Final

LOG_FILE: Final = "log.sqlite3"
STORE_FILE: Final = "store.sqlite3"
ADDRESS_FILE: Final = "address"
