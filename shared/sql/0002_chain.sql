-- The log's order is its versions, and each link is the same however late its row is written.
ALTER TABLE log DROP COLUMN id;
ALTER TABLE log DROP CONSTRAINT log_once_per_version;
ALTER TABLE log ADD CONSTRAINT log_once_per_version PRIMARY KEY (stream, subject, sequence);

-- An event that is found again gets the row that it had. What was noted before this migration has no head and no actor.
ALTER TABLE adopted ADD COLUMN cause_id uuid;
UPDATE adopted SET cause_id = decision_id;
ALTER TABLE adopted
    ALTER COLUMN cause_id SET NOT NULL,
    ADD COLUMN actor_id uuid,
    ADD COLUMN chain bytea NOT NULL DEFAULT ''::bytea;
ALTER TABLE adopted ALTER COLUMN chain DROP DEFAULT;
