-- Dead letters that an operator's command holds: `dead` -> `held` -> gone, or back to `dead` as they were.
CREATE TABLE held (
    id      INTEGER PRIMARY KEY,
    owner   INTEGER NOT NULL,
    token   INTEGER NOT NULL,
    died_at INTEGER NOT NULL,
    lane    INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    reason  TEXT NOT NULL
) STRICT;
