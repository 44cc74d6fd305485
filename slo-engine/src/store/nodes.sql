-- The Kubernetes node that a collector runs on, and the minute in which that was seen to be gone.
ALTER TABLE collectors ADD COLUMN node TEXT;

ALTER TABLE collectors ADD COLUMN gone_minute BIGINT;
