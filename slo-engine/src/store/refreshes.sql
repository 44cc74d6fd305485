-- When an intent that its receiver has must be sent once more, so that the receiver does not take the incident for over.
ALTER TABLE outbox ADD COLUMN refresh_ms BIGINT;

CREATE INDEX outbox_refresh ON outbox (refresh_ms);
