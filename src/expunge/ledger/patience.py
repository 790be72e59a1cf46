"""How long the ledger waits for PostgreSQL, and the locks by which its processes take turns there."""

READING = 120
"""Seconds that PostgreSQL may take for one statement of a reader."""
REACHING = {"connect_timeout": 10, "tcp_user_timeout": 30_000, "keepalives_idle": 30, "keepalives_interval": 10}
"""How long PostgreSQL may be out of reach, in seconds and milliseconds, before a connection to it fails."""
LEAD_LOCK = 0x45585056
"""PostgreSQL's advisory lock held by the process that works the queue."""
APPEND_LOCK = 0x45585055
"""PostgreSQL's advisory lock that writers of the ledger hold to the end of their transaction."""
