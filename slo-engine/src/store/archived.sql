-- Up to when (ms since 1970) the archive of a collector is complete; nothing where it has none.
ALTER TABLE collectors ADD COLUMN archived_to_ms BIGINT;
