-- What Elasticsearch lacks or has in an older form: kind `rows` (of a stream's minute), `stream`, `collector`, `results`
-- (from a minute on). A mark is made in the transaction that changed what it is about, and its generation counts further
-- changes: only what did not change while it was written is unmarked.
CREATE TABLE export_marks (
    kind TEXT NOT NULL,
    minute BIGINT NOT NULL,
    name TEXT NOT NULL,
    generation BIGINT NOT NULL,
    PRIMARY KEY (kind, minute, name)
);

CREATE INDEX export_marks_name ON export_marks (name, kind);

DROP INDEX counts_minute;

CREATE INDEX counts_minute ON counts (minute, stream);
