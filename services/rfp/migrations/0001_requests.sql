-- Every order that was obeyed, for ever: the same order again changes nothing, even when the inbox has long been emptied.
CREATE TABLE orders (
    cause_id uuid PRIMARY KEY,
    subject  text NOT NULL
);

-- One request for one purchase; its row is locked by every decision about the purchase.
CREATE TABLE requests (
    purchase_id    uuid PRIMARY KEY,
    state          text NOT NULL DEFAULT 'forming'
        CHECK (state IN ('forming', 'drafted', 'issued', 'closed', 'cancelled')),
    coordinator_id uuid,
    -- What aggregation froze, as it said it.
    aggregated     jsonb,
    need           jsonb,
    list           jsonb,
    -- What was issued.
    version        int,
    provider_ids   text[],
    content_sha256 text,
    deadline_at    timestamptz,
    issued_at      timestamptz,
    ended_at       timestamptz,
    -- The group's qualification: the last number given, and until when it holds; null: none holds.
    qualification  int  NOT NULL DEFAULT 0,
    qualified_until_at timestamptz,
    CONSTRAINT requests_drafted_from_a_snapshot CHECK (state = 'forming' OR (aggregated IS NOT NULL)),
    CONSTRAINT requests_issued_whole CHECK (
        state NOT IN ('issued', 'closed')
        OR (need IS NOT NULL AND version IS NOT NULL AND content_sha256 IS NOT NULL AND deadline_at IS NOT NULL
            AND cardinality(provider_ids) >= 1)
    ),
    CONSTRAINT requests_end_once CHECK ((state IN ('closed', 'cancelled')) = (ended_at IS NOT NULL))
);

-- The identities of those who joined the group; who is a member in the end, the frozen snapshot says.
CREATE TABLE buyers (
    purchase_id uuid  NOT NULL,
    buyer_id    uuid  NOT NULL,
    legal_name  text  NOT NULL,
    identifiers jsonb NOT NULL,
    contact_id  uuid  NOT NULL,
    PRIMARY KEY (purchase_id, buyer_id)
);

-- This service's own copy of the usage lines.
CREATE TABLE usage_parts (
    purchase_id uuid  NOT NULL,
    report_id   uuid  NOT NULL,
    part        int   NOT NULL CHECK (part >= 1),
    parts       int   NOT NULL CHECK (parts >= part),
    buyer_id    uuid  NOT NULL,
    lines       jsonb NOT NULL,
    PRIMARY KEY (purchase_id, report_id, part)
);

-- The officer's findings in the order in which they were recorded; judged once the whole group is known.
CREATE TABLE verifications (
    purchase_id uuid        NOT NULL REFERENCES requests,
    number      int         NOT NULL CHECK (number >= 1),
    cause_id    uuid        NOT NULL UNIQUE,
    officer_id  uuid        NOT NULL,
    snapshot    text        NOT NULL,
    party       text        NOT NULL CHECK (party IN ('coordinator', 'buyer')),
    party_id    uuid        NOT NULL,
    outcome     text        NOT NULL CHECK (outcome IN ('verified', 'refused')),
    method      text        NOT NULL,
    reference   text        NOT NULL,
    valid_until_at timestamptz NOT NULL,
    reason      text,
    state       text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'counts', 'refused')),
    PRIMARY KEY (purchase_id, number)
);

CREATE TABLE providers (
    provider_id text        PRIMARY KEY,
    name        text        NOT NULL,
    categories  text[]      NOT NULL,
    regions     text[]      NOT NULL,
    suspended_at timestamptz,
    registered_at timestamptz NOT NULL
);
