-- Every order that was obeyed, for ever: the same order again changes nothing, even when the inbox has long been emptied.
CREATE TABLE orders (
    cause_id    uuid PRIMARY KEY,
    purchase_id uuid NOT NULL
);

-- One group for one purchase.
CREATE TABLE groups (
    purchase_id    uuid        PRIMARY KEY,
    name           text        NOT NULL,
    currency       text        NOT NULL,
    tax_basis      text        NOT NULL CHECK (tax_basis IN ('net', 'gross')),
    coordinator_id uuid        NOT NULL,
    opened_at      timestamptz NOT NULL,
    closed_at      timestamptz,
    usage_digest   text,
    snapshot       text,
    CONSTRAINT groups_closed_with_their_hashes CHECK (
        (closed_at IS NULL) = (usage_digest IS NULL) AND (closed_at IS NULL) = (snapshot IS NULL)
    )
);

-- Members, also former ones: an id is never used again in its group.
CREATE TABLE buyers (
    purchase_id uuid        NOT NULL REFERENCES groups,
    buyer_id    uuid        NOT NULL,
    legal_name  text        NOT NULL,
    identifiers jsonb       NOT NULL,
    contact_id  uuid        NOT NULL,
    preferences jsonb,
    joined_at   timestamptz NOT NULL,
    left_at     timestamptz,
    PRIMARY KEY (purchase_id, buyer_id)
);

-- Usage reports in the order in which they began.
CREATE TABLE reports (
    purchase_id   uuid NOT NULL,
    report_id     uuid NOT NULL,
    buyer_id      uuid NOT NULL,
    number        int  NOT NULL CHECK (number >= 1),
    state         text NOT NULL CHECK (state IN ('collecting', 'counts', 'replaced', 'withdrawn', 'refused')),
    period_start  date NOT NULL,
    period_end    date NOT NULL,
    period_months int  NOT NULL,
    parts         int  NOT NULL CHECK (parts >= 1),
    PRIMARY KEY (purchase_id, report_id),
    FOREIGN KEY (purchase_id, buyer_id) REFERENCES buyers,
    CONSTRAINT reports_begin_one_after_another UNIQUE (purchase_id, number)
);
CREATE UNIQUE INDEX reports_one_counts_per_buyer ON reports (purchase_id, buyer_id) WHERE state = 'counts';

CREATE TABLE report_parts (
    purchase_id uuid NOT NULL,
    report_id   uuid NOT NULL,
    part        int  NOT NULL CHECK (part >= 1),
    sha256      text NOT NULL,
    PRIMARY KEY (purchase_id, report_id, part),
    FOREIGN KEY (purchase_id, report_id) REFERENCES reports
);

-- Lines of reports that count or may come to count; the others' lines are deleted.
CREATE TABLE usage_lines (
    purchase_id uuid  NOT NULL,
    report_id   uuid  NOT NULL,
    line_id     text  NOT NULL,
    part        int   NOT NULL,
    position    int   NOT NULL,
    usage       jsonb NOT NULL,
    CONSTRAINT usage_lines_once_per_report PRIMARY KEY (purchase_id, report_id, line_id),
    FOREIGN KEY (purchase_id, report_id, part) REFERENCES report_parts
);

-- Who last said how a person is reached. What they said stands on `aggregation.contacts` only.
CREATE TABLE people (
    person_id   uuid PRIMARY KEY,
    recorded_by uuid NOT NULL
);

-- Passwords assigned, without the password, its verifier or its box: those stand on `aggregation.credentials`.
CREATE TABLE credentials (
    purchase_id uuid        NOT NULL REFERENCES groups,
    person_id   uuid        NOT NULL,
    number      int         NOT NULL CHECK (number >= 1),
    cause_id    uuid        NOT NULL UNIQUE,
    assigned_at timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (purchase_id, person_id, number)
);
