-- Lanes that processes consume, and with how many consumers, for an operator to see.
CREATE TABLE consumer (
    owner INTEGER NOT NULL,
    lane  INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (owner, lane)
) STRICT, WITHOUT ROWID;
