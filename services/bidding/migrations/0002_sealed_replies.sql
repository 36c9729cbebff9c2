-- Replies may be sealed: then a box is closed first, and judged once the opener has opened it.
ALTER TABLE boxes
    ADD COLUMN seal          text CHECK (seal IN ('none', 'hpke')),
    -- The newest version of which was said that replies to it can be taken.
    ADD COLUMN ready_version int CHECK (ready_version >= 1),
    -- From then on nothing can be added.
    ADD COLUMN closed_at     timestamptz,
    DROP CONSTRAINT boxes_stage_check,
    ADD CONSTRAINT boxes_stage_check
        CHECK (stage IN ('awaited', 'open', 'closing', 'closed', 'opened', 'compared', 'cancelled'));
UPDATE boxes SET seal = 'none', ready_version = request_version WHERE request_version IS NOT NULL;
UPDATE boxes SET closed_at = opened_at WHERE opened_at IS NOT NULL;
ALTER TABLE boxes
    ADD CONSTRAINT boxes_know_how_replies_are_sealed CHECK ((seal IS NULL) = (request_version IS NULL)),
    ADD CONSTRAINT boxes_close_after_the_deadline
        CHECK (closed_at IS NULL OR (deadline_passed_by IS NOT NULL AND closed_at >= deadline)),
    ADD CONSTRAINT boxes_open_once_closed CHECK (opened_at IS NULL OR closed_at IS NOT NULL);
DROP INDEX boxes_with_work;
CREATE INDEX boxes_with_work ON boxes (stage, purchase_id) WHERE stage IN ('closing', 'closed', 'opened');
CREATE INDEX boxes_not_ready ON boxes (purchase_id) WHERE ready_version IS DISTINCT FROM request_version;
-- The boxes that must have a key.
CREATE INDEX boxes_with_seal ON boxes (purchase_id) WHERE seal = 'hpke' AND (
    ready_version IS DISTINCT FROM request_version OR (compared_at IS NULL AND cancelled_by IS NULL)
);

ALTER TABLE replies
    ADD COLUMN withdrawn_by uuid REFERENCES provider_messages,
    DROP CONSTRAINT replies_standing_check,
    ADD CONSTRAINT replies_standing_check CHECK (standing IN ('evaluated', 'replaced', 'withdrawn', 'invalid')),
    ADD CONSTRAINT withdrawn_replies_do_not_stand
        CHECK (withdrawn_by IS NULL OR standing IS NULL OR standing = 'withdrawn');
CREATE UNIQUE INDEX replies_are_withdrawn_once ON replies (withdrawn_by) WHERE withdrawn_by IS NOT NULL;

-- Which replies are judged: the newest of each provider, unless it was withdrawn. What it replaced does not come back.
CREATE VIEW standing_replies AS
SELECT reply_id, purchase_id, provider_id, request_version, revision, body FROM (
    SELECT DISTINCT ON (purchase_id, provider_id)
        id AS reply_id, purchase_id, provider_id, request_version, revision, body, withdrawn_by
    FROM replies ORDER BY purchase_id, provider_id, revision DESC
) AS newest
WHERE withdrawn_by IS NULL;

-- Each provider's first acknowledgement of each version of a request.
CREATE TABLE acknowledgements (
    id              uuid        NOT NULL UNIQUE REFERENCES provider_messages,
    purchase_id     uuid        NOT NULL,
    provider_id     text        NOT NULL,
    request_version int         NOT NULL CHECK (request_version >= 1),
    content_sha256  text        NOT NULL,
    acknowledged_at timestamptz NOT NULL,
    PRIMARY KEY (purchase_id, provider_id, request_version)
);

-- Who asked how much. The questions themselves stand on bidding.events, without who asked.
CREATE TABLE questions (
    id          uuid PRIMARY KEY REFERENCES provider_messages,
    purchase_id uuid NOT NULL,
    provider_id text NOT NULL
);
CREATE INDEX questions_by_sender ON questions (purchase_id, provider_id);

-- The opener sees what it needs to check that a box is closed, and what stands in it; it changes nothing here.
GRANT USAGE ON SCHEMA bidding TO opener;
GRANT SELECT (
    purchase_id, stage, request_version, deadline, provider_ids, deadline_passed_by, last_version, cancelled_by,
    closing_ends, seal, ready_version, closed_at, compared_at
) ON boxes TO opener;
GRANT SELECT ON standing_replies, positions TO opener;
GRANT SELECT (purchase_id, provider_id, appended_at) ON held_messages TO opener;
GRANT SELECT (consumer, topic, partition, "offset") ON parked TO opener;
