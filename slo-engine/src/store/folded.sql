-- Count rows of a stream's minute, packed; they stay for some hours and then fold into `cells`.
CREATE TABLE rows (
    minute BIGINT NOT NULL,
    stream TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (minute, stream)
);

-- What the rows of an hour added up to, all services in one block of compressed columns.
CREATE TABLE cells (
    hour BIGINT PRIMARY KEY,
    body BLOB NOT NULL
);

-- The place of break-downs by the hour (kind `endpoint`, `status`, `upstream`; 200 names and `other`). Nothing writes it yet.
CREATE TABLE breakdowns (
    hour BIGINT NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (hour, kind)
);

-- Behind the last byte of a stream whose rows have folded: what lies before it cannot be counted in another cut.
ALTER TABLE streams ADD COLUMN folded_end BIGINT NOT NULL DEFAULT 0;

-- When an incident ended; nothing while it is open.
ALTER TABLE incidents ADD COLUMN resolved_ms BIGINT;

CREATE INDEX incidents_opened ON incidents (opened_ms, id);

CREATE INDEX incidents_resolved ON incidents (resolved_ms);

CREATE INDEX streams_newest ON streams (newest_ms);
