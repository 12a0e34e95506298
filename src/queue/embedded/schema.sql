-- Bytes stay where they are written; a message moves by moving a small row:
-- `ready` -> `leased` -> gone, back to `ready`, or `dead`.
-- Lanes: 0 work, 1 late, 2 outcome. Times are milliseconds since the epoch.

CREATE TABLE message (
    id      INTEGER PRIMARY KEY,        -- the order of insertion
    headers TEXT NOT NULL,              -- JSON
    body    BLOB NOT NULL
) STRICT;

-- What waits, in the order in which it is taken.
CREATE TABLE ready (
    lane       INTEGER NOT NULL,
    ready_at   INTEGER NOT NULL,        -- not to be taken before
    id         INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    returns    INTEGER NOT NULL,        -- how often it came back unsettled
    reason     TEXT,                    -- why it left its first lane
    expires_at INTEGER,                 -- work only: then it is late
    PRIMARY KEY (lane, ready_at, id)
) STRICT, WITHOUT ROWID;

-- What a process works on. A settlement counts only with the owner and token of the lease.
CREATE TABLE leased (
    id         INTEGER PRIMARY KEY,
    owner      INTEGER NOT NULL,
    token      INTEGER NOT NULL,
    lane       INTEGER NOT NULL,
    ready_at   INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    returns    INTEGER NOT NULL,
    reason     TEXT,
    expires_at INTEGER
) STRICT;

-- What waits for an operator.
CREATE TABLE dead (
    id      INTEGER PRIMARY KEY,
    died_at INTEGER NOT NULL,
    lane    INTEGER NOT NULL,           -- where it came from
    attempt INTEGER NOT NULL,
    reason  TEXT NOT NULL
) STRICT;

-- Processes: each holds a lock on `owners/<name>.lock` while it lives, and beats while it is well.
CREATE TABLE owner (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,
    beat       INTEGER NOT NULL,        -- when it was last heard of
    lost_until INTEGER NOT NULL         -- its leases up to this token were given back while it was silent
) STRICT;

-- Triggers accepted lately, so that a restart still knows a repeat.
CREATE TABLE accepted (
    seq         INTEGER PRIMARY KEY,
    trigger_id  BLOB NOT NULL,
    accepted_at INTEGER NOT NULL
) STRICT;
