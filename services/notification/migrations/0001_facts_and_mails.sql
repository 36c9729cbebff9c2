-- What notification knows of each purchase, the facts that it tells people and providers about, and its mails.

CREATE TABLE purchases (
    purchase_id    uuid PRIMARY KEY,
    group_name     text,
    coordinator_id uuid,
    -- The frozen membership: unknown until the group is aggregated.
    member_ids     uuid[],
    CONSTRAINT purchases_are_opened_whole CHECK ((group_name IS NULL) = (coordinator_id IS NULL)),
    CONSTRAINT purchases_are_aggregated_after_opening CHECK (member_ids IS NULL OR group_name IS NOT NULL)
);

-- Every time a buyer joined; the latest counts, should a buyer leave and join again.
CREATE TABLE joinings (
    cause_id    uuid PRIMARY KEY,
    number      bigint GENERATED ALWAYS AS IDENTITY,
    purchase_id uuid NOT NULL REFERENCES purchases,
    buyer_id    uuid NOT NULL,
    legal_name  text NOT NULL,
    identifiers jsonb NOT NULL,
    contact_id  uuid NOT NULL
);
CREATE INDEX joinings_by_buyer ON joinings (purchase_id, buyer_id, number);

CREATE TABLE requests (
    purchase_id     uuid NOT NULL REFERENCES purchases,
    request_version int NOT NULL CHECK (request_version >= 1),
    title           text NOT NULL,
    deadline_at     timestamptz NOT NULL,
    PRIMARY KEY (purchase_id, request_version)
);

-- Facts that people or providers are told, each once; one with told_at NULL waits for what it lacks.
CREATE TABLE facts (
    cause_id    uuid PRIMARY KEY,
    number      bigint GENERATED ALWAYS AS IDENTITY,
    purchase_id uuid NOT NULL REFERENCES purchases,
    type        text NOT NULL,
    body        jsonb NOT NULL,
    told_at     timestamptz
);
CREATE INDEX facts_untold ON facts (purchase_id, number) WHERE told_at IS NULL;

CREATE TABLE comparison_parts (
    purchase_id uuid NOT NULL REFERENCES purchases,
    sha256      text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    part        int NOT NULL CHECK (part >= 1),
    manifest    jsonb NOT NULL,
    data        text NOT NULL,
    PRIMARY KEY (purchase_id, sha256, part)
);

-- Personal data: the only table with names and addresses of people.
CREATE TABLE contacts (
    person_id uuid PRIMARY KEY,
    name      text NOT NULL,
    email     text NOT NULL
);

-- One row per fact and person, kept for ever so that nothing is queued twice. The text is rendered at the
-- moment of sending and never stored; a password stays in its sealed box, and leaves with the mail.
CREATE TABLE mails (
    mail_id         uuid PRIMARY KEY,
    purchase_id     uuid NOT NULL REFERENCES purchases,
    person_id       uuid NOT NULL,
    kind            text NOT NULL,
    letter          jsonb NOT NULL,
    sealed_password text,
    queued_at       timestamptz NOT NULL,
    next_try_at     timestamptz NOT NULL,
    tries           int NOT NULL DEFAULT 0 CHECK (tries >= 0),
    delivered_at    timestamptz,
    failed_at       timestamptz,
    CONSTRAINT mails_end_once CHECK (delivered_at IS NULL OR failed_at IS NULL),
    CONSTRAINT mails_keep_no_password_after_their_end
        CHECK (sealed_password IS NULL OR (delivered_at IS NULL AND failed_at IS NULL)),
    CONSTRAINT mails_with_a_password_are_of_that_kind
        CHECK (sealed_password IS NULL OR kind = 'initial_password')
);
CREATE INDEX mails_due ON mails (next_try_at) WHERE delivered_at IS NULL AND failed_at IS NULL;
CREATE INDEX mails_by_person ON mails (purchase_id, person_id, kind);
