-- What each exchange counts as, and the lines it counts in (store::tally). Where nothing is noted it was committed before,
-- or by an earlier version: it is counted when a daemon of this one starts, or with its next change.
ALTER TABLE record ADD COLUMN tally bytea;
CREATE TABLE line (
    key bytea PRIMARY KEY,
    counts bytea NOT NULL
);
CREATE INDEX record_uncounted ON record (id) WHERE kind <= 2 AND tally IS NULL;
