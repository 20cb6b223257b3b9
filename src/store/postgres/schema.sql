-- What a PostgreSQL store holds. Forward only: a later version adds files after this one and changes none.

-- The last entry. Whoever commits holds this row: entries have one order, without gaps.
CREATE TABLE head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    seq bigint NOT NULL
);
INSERT INTO head (seq) VALUES (0);

-- The truth, and the leaves of the audit log: the same bytes as in the journal of the embedded store.
CREATE TABLE entry (
    seq bigint PRIMARY KEY,
    facts bytea NOT NULL,
    change bytea NOT NULL
);

-- Where facts stand.
CREATE TABLE fact (
    seq bigint NOT NULL,
    n smallint NOT NULL,
    subject uuid NOT NULL,
    entity text,
    PRIMARY KEY (seq, n)
);
CREATE INDEX fact_subject ON fact (subject, seq, n);
CREATE INDEX fact_entity ON fact (entity, seq, n) WHERE entity IS NOT NULL;

-- Records as they are now. kind: 1 despacho, 2 recepcion, 3 key of the API, 4 person, 5 another. number: its SHA-256.
CREATE TABLE record (
    id uuid PRIMARY KEY,
    version bigint NOT NULL,
    kind smallint NOT NULL,
    entity text,
    state text,
    number bytea,
    cuo text,
    purged boolean NOT NULL,
    held boolean NOT NULL,
    body bytea NOT NULL
);
CREATE INDEX record_entity ON record (kind, entity, id) WHERE kind <= 2;
CREATE INDEX record_state ON record (kind, entity, state, id) WHERE kind <= 2;
CREATE INDEX record_number ON record (kind, entity, number, id) WHERE number IS NOT NULL;
CREATE INDEX record_cuo ON record (entity, cuo, id) WHERE kind = 2;
CREATE INDEX record_kept ON record (kind, id) WHERE kind <= 2 AND NOT purged;
CREATE INDEX record_held ON record (id) WHERE held;
CREATE INDEX record_purged ON record (id) WHERE purged;
CREATE INDEX record_listed ON record (kind, id) WHERE kind IN (3, 4);

-- What no two records share: a digest of the key and its kind.
CREATE TABLE unique_key (
    key bytea PRIMARY KEY,
    id uuid NOT NULL
);

-- Work to be done. Times in nanoseconds since 1970. owner: the daemon that holds it; it is free when that daemon is silent.
CREATE TABLE job (
    id uuid PRIMARY KEY,
    kind smallint NOT NULL,
    subject uuid NOT NULL,
    entity text NOT NULL,
    destination text NOT NULL,
    made_ns bigint NOT NULL,
    due_ns bigint NOT NULL,
    tries integer NOT NULL,
    dead boolean NOT NULL,
    woken boolean NOT NULL DEFAULT false,
    owner uuid,
    body bytea NOT NULL
);
CREATE INDEX job_lane ON job (entity, destination, made_ns, id) WHERE NOT dead;
CREATE INDEX job_due ON job (due_ns) WHERE NOT dead;
CREATE INDEX job_owner ON job (owner) WHERE owner IS NOT NULL;
CREATE INDEX job_subject ON job (subject);

-- Documents by their SHA-256. Without a body: purged, by the entry purged_seq.
CREATE TABLE document (
    sha256 bytea PRIMARY KEY,
    bytes bigint NOT NULL,
    body uuid,
    purged_seq bigint
);
CREATE TABLE chunk (
    body uuid NOT NULL,
    n integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (body, n)
);
-- PDFs are compressed already.
ALTER TABLE chunk ALTER COLUMN data SET STORAGE EXTERNAL;
-- Bodies that are being written and that no commit has named yet.
CREATE TABLE upload (
    body uuid PRIMARY KEY,
    begun timestamptz NOT NULL DEFAULT now()
);
-- Which exchanges, and other subjects of facts, name a document.
CREATE TABLE naming (
    sha256 bytea NOT NULL,
    id uuid NOT NULL,
    PRIMARY KEY (sha256, id)
);

-- The daemons at work, by the database's clock.
CREATE TABLE daemon (
    id uuid PRIMARY KEY,
    begun timestamptz NOT NULL DEFAULT now(),
    seen timestamptz NOT NULL DEFAULT now()
);
