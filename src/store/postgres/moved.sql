-- Where everything went, if it went to another store: no daemon works on this database then.
CREATE TABLE moved (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    place text NOT NULL
);
