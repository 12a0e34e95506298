-- Notices, for the processes that listen just now; pruned by age and number.
CREATE TABLE notice (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL,             -- who told it, and needs not hear it
    at    INTEGER NOT NULL,
    topic TEXT NOT NULL,
    body  BLOB NOT NULL
) STRICT;

-- Processes that listen. While there are none, no notice is stored.
CREATE TABLE listener (
    owner INTEGER PRIMARY KEY
) STRICT;
