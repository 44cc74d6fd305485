-- The engine's state. A portable subset of SQL: TEXT, BIGINT, BLOB, no server-side functions. Times are milliseconds
-- since 1970 in UTC, minutes are whole minutes since 1970.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Who sends counts, and up to when it has read everything that it could find.
CREATE TABLE collectors (
    collector TEXT PRIMARY KEY,
    epoch TEXT NOT NULL,
    watermark_ms BIGINT
);

CREATE TABLE streams (
    stream TEXT PRIMARY KEY,
    collector TEXT NOT NULL,
    path TEXT NOT NULL,
    namespace TEXT,
    pod TEXT,
    container TEXT,
    oldest_ms BIGINT,
    newest_ms BIGINT,
    ended BIGINT NOT NULL,
    broken TEXT
);

-- What became of the lines of a byte range. Adjacent ranges are joined.
CREATE TABLE tallies (
    stream TEXT NOT NULL,
    range_start BIGINT NOT NULL,
    range_end BIGINT NOT NULL,
    lines BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    ignored BIGINT NOT NULL,
    unparsed BIGINT NOT NULL,
    late BIGINT NOT NULL,
    dead_lettered BIGINT NOT NULL,
    PRIMARY KEY (stream, range_start)
);

-- Count rows. Adjacent ranges of a key are joined. Edges, ladder and sketch are JSON.
CREATE TABLE counts (
    stream TEXT NOT NULL,
    service TEXT NOT NULL,
    origin TEXT NOT NULL,
    sli TEXT NOT NULL,
    version BIGINT NOT NULL,
    minute BIGINT NOT NULL,
    range_start BIGINT NOT NULL,
    range_end BIGINT NOT NULL,
    total BIGINT NOT NULL,
    bad BIGINT NOT NULL,
    excluded BIGINT NOT NULL,
    edges TEXT NOT NULL,
    ladder TEXT NOT NULL,
    sketch TEXT NOT NULL,
    partial BIGINT NOT NULL,
    PRIMARY KEY (stream, service, origin, sli, version, minute, range_start)
);

CREATE INDEX counts_minute ON counts (minute);

CREATE TABLE episodes (
    service TEXT NOT NULL,
    sli TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (service, sli)
);

CREATE TABLE incidents (
    id TEXT PRIMARY KEY,
    opened_ms BIGINT NOT NULL,
    body TEXT NOT NULL
);

-- Intents to notify, committed with what caused them. A lane is (target, dedup_key); `seq` is its order; an intent that
-- goes on through another channel keeps its place.
CREATE TABLE outbox (
    id TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    incident TEXT NOT NULL,
    target TEXT NOT NULL,
    channel TEXT NOT NULL,
    dedup_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    settled_ms BIGINT,
    error TEXT
);

CREATE INDEX outbox_lane ON outbox (state, target, dedup_key, seq);

CREATE INDEX outbox_incident ON outbox (incident);

-- A chain of blocks, one a minute for all SLOs; several for a minute that was amended.
CREATE TABLE ledger (
    seq BIGINT PRIMARY KEY,
    minute BIGINT NOT NULL,
    hash TEXT NOT NULL,
    body BLOB NOT NULL
);

CREATE INDEX ledger_minute ON ledger (minute);

-- Minutes that the ledger has spoken of and that have changed since.
CREATE TABLE amendments (
    minute BIGINT PRIMARY KEY
);
