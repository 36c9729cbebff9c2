-- Parts of documents that terms wait for. Once the terms lie before the group, the parts are on bidding.comparisons and go from here.
CREATE TABLE terms_parts (
    purchase_id uuid NOT NULL,
    award       int  NOT NULL,
    manifest    text NOT NULL,
    part        int  NOT NULL,
    data        text NOT NULL,
    PRIMARY KEY (purchase_id, award, manifest, part),
    FOREIGN KEY (purchase_id, award) REFERENCES awards
);

-- Terms that have no answer yet, because not all of their document is here.
CREATE TABLE waiting_terms (
    id          uuid        NOT NULL PRIMARY KEY,
    purchase_id uuid        NOT NULL,
    award       int         NOT NULL,
    provider_id text        NOT NULL,
    message_id  text        NOT NULL,
    type        text        NOT NULL,
    sha256      text        NOT NULL,
    appended_at timestamptz NOT NULL,
    body        bytea       NOT NULL,
    waits_until timestamptz NOT NULL,
    CONSTRAINT terms_wait_one_at_a_time UNIQUE (purchase_id, award),
    FOREIGN KEY (purchase_id, award) REFERENCES awards
);
