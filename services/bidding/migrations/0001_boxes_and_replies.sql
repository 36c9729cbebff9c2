-- Locks are taken in this order, everywhere: boxes in the order of their purchases, then what belongs to them.

-- One row per purchase, made by whichever fact comes first and locked by every decision about the purchase:
-- FOR SHARE where replies are taken, FOR UPDATE by everyone else.
CREATE TABLE boxes (
    purchase_id        uuid        PRIMARY KEY,
    stage              text        NOT NULL DEFAULT 'awaited'
        CHECK (stage IN ('awaited', 'open', 'closing', 'opened', 'compared', 'cancelled')),
    request_version    int         CHECK (request_version >= 1),
    deadline           timestamptz,
    provider_ids       text[],
    services           jsonb,
    currency           text,
    tax_basis          text,
    contract_months    int         CHECK (contract_months >= 1),
    usage_digest       text,
    issued_by          uuid        UNIQUE,
    deadline_passed_by uuid        UNIQUE,
    -- The version that stood when the deadline passed.
    last_version       int         CHECK (last_version >= 1),
    cancelled_by       uuid        UNIQUE,
    -- Where the listed providers' topics ended once nothing in time could be appended any more, by topic and partition.
    closing_ends       jsonb,
    opened_at          timestamptz,
    compared_at        timestamptz,
    CONSTRAINT boxes_know_the_whole_request CHECK (
        num_nulls(request_version, deadline, provider_ids, services, currency, tax_basis, contract_months, usage_digest, issued_by)
        IN (0, 9)
    ),
    CONSTRAINT boxes_know_which_version_was_last CHECK ((deadline_passed_by IS NULL) = (last_version IS NULL)),
    CONSTRAINT boxes_open_after_the_deadline CHECK (opened_at IS NULL OR (deadline_passed_by IS NOT NULL AND opened_at >= deadline)),
    CONSTRAINT boxes_are_compared_after_opening CHECK (compared_at IS NULL OR compared_at >= opened_at)
);
CREATE INDEX boxes_with_work ON boxes (stage, purchase_id) WHERE stage IN ('closing', 'opened');

-- What aggregation froze: who coordinates, and which reports are the pinned usage.
CREATE TABLE groups (
    purchase_id    uuid PRIMARY KEY,
    coordinator_id uuid NOT NULL,
    buyer_ids      uuid[] NOT NULL,
    -- The report that counts for the buyer at the same place of buyer_ids.
    report_ids     uuid[] NOT NULL,
    period_months  int  NOT NULL CHECK (period_months >= 1),
    usage_digest   text NOT NULL,
    cause_id       uuid NOT NULL UNIQUE,
    CONSTRAINT groups_have_one_report_per_buyer CHECK (cardinality(buyer_ids) = cardinality(report_ids))
);

-- This service's own copy of the usage, as its messages came: one row per part of a report.
CREATE TABLE usage_parts (
    purchase_id uuid  NOT NULL,
    buyer_id    uuid  NOT NULL,
    report_id   uuid  NOT NULL,
    part        int   NOT NULL CHECK (part >= 1),
    parts       int   NOT NULL CHECK (parts >= part),
    body        bytea NOT NULL,
    cause_id    uuid  NOT NULL UNIQUE,
    PRIMARY KEY (purchase_id, buyer_id, report_id, part)
);

-- Every message of a provider that has been answered, with its answer: the same bytes again get the same answer.
CREATE TABLE provider_messages (
    id          uuid        PRIMARY KEY,
    provider_id text        NOT NULL,
    purchase_id uuid,
    type        text,
    message_id  text,
    sha256      text        NOT NULL,
    appended_at timestamptz NOT NULL,
    outcome     text        NOT NULL CHECK (outcome IN ('received', 'rejected')),
    reply_id    uuid,
    reason      text,
    detail      text,
    CONSTRAINT rejections_say_why CHECK ((outcome = 'rejected') = (reason IS NOT NULL AND detail IS NOT NULL)),
    CONSTRAINT receipts_name_their_message
        CHECK (outcome = 'rejected' OR (purchase_id IS NOT NULL AND type IS NOT NULL AND message_id IS NOT NULL))
);

-- Intake holds the box while it inserts here, so that no foreign key has to look for it again for each reply.
CREATE TABLE replies (
    id              uuid        PRIMARY KEY REFERENCES provider_messages,
    purchase_id     uuid        NOT NULL,
    provider_id     text        NOT NULL,
    request_version int         NOT NULL CHECK (request_version >= 1),
    revision        int         NOT NULL CHECK (revision >= 1),
    appended_at     timestamptz NOT NULL,
    sha256          text        NOT NULL,
    -- The message as it came.
    body            bytea       NOT NULL,
    standing        text        CHECK (standing IN ('evaluated', 'replaced', 'invalid')),
    reason          text,
    rank            int         CHECK (rank >= 1),
    CONSTRAINT replies_have_one_content_per_revision UNIQUE (purchase_id, provider_id, revision),
    CONSTRAINT only_evaluated_replies_rank CHECK (rank IS NULL OR standing = 'evaluated')
);
CREATE UNIQUE INDEX replies_rank_once ON replies (purchase_id, rank) WHERE rank IS NOT NULL;
CREATE UNIQUE INDEX replies_stand_once_per_provider ON replies (purchase_id, provider_id) WHERE standing = 'evaluated';

CREATE TABLE declines (
    id          uuid NOT NULL UNIQUE REFERENCES provider_messages,
    purchase_id uuid NOT NULL REFERENCES boxes,
    provider_id text NOT NULL,
    PRIMARY KEY (purchase_id, provider_id)
);

-- Where rfp.events ended, by partition, at moments when messages about unknown purchases were waiting.
CREATE TABLE checkpoints (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ends   jsonb  NOT NULL
);

-- Messages about purchases that are unknown, or whose sender is not listed: they wait until a checkpoint is passed.
-- Later messages of the same provider about the same purchase queue up behind them.
CREATE TABLE held_messages (
    number      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          uuid        NOT NULL UNIQUE,
    purchase_id uuid        NOT NULL,
    provider_id text        NOT NULL,
    type        text        NOT NULL,
    message_id  text        NOT NULL,
    sha256      text        NOT NULL,
    appended_at timestamptz NOT NULL,
    body        bytea       NOT NULL,
    checkpoint  bigint      REFERENCES checkpoints
);
CREATE INDEX held_messages_by_sender ON held_messages (purchase_id, provider_id);
CREATE INDEX held_messages_by_checkpoint ON held_messages (checkpoint);

CREATE TABLE awards (
    purchase_id uuid    NOT NULL REFERENCES boxes,
    number      int     NOT NULL CHECK (number >= 1),
    provider_id text    NOT NULL,
    reply_id    uuid    NOT NULL REFERENCES replies,
    standing    boolean NOT NULL DEFAULT true,
    cause_id    uuid    NOT NULL UNIQUE,
    PRIMARY KEY (purchase_id, number)
);
CREATE UNIQUE INDEX awards_stand_one_at_a_time ON awards (purchase_id) WHERE standing;

CREATE TABLE terms (
    id          uuid NOT NULL PRIMARY KEY REFERENCES provider_messages,
    purchase_id uuid NOT NULL,
    award       int  NOT NULL,
    sha256      text NOT NULL,
    answer      text CHECK (answer IN ('accepted', 'rejected')),
    answered_by uuid UNIQUE,
    FOREIGN KEY (purchase_id, award) REFERENCES awards,
    CONSTRAINT terms_are_answered_by_a_command CHECK ((answer IS NULL) = (answered_by IS NULL))
);
CREATE UNIQUE INDEX terms_lie_alone_before_the_group ON terms (purchase_id, award) WHERE answer IS DISTINCT FROM 'rejected';
