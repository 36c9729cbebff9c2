-- Whether every buyer must have given a letter of agency, and since when the group is given up.
ALTER TABLE groups ADD COLUMN letters_required boolean NOT NULL DEFAULT false;
ALTER TABLE groups ADD COLUMN dissolved_at timestamptz;
ALTER TABLE groups ADD CONSTRAINT groups_end_once CHECK (closed_at IS NULL OR dissolved_at IS NULL);

-- How large a group must become, as it was said last.
CREATE TABLE minimums (
    purchase_id  uuid        PRIMARY KEY REFERENCES groups,
    buyers       int         NOT NULL CHECK (buyers >= 0),
    lines        int         NOT NULL CHECK (lines >= 0),
    decide_by_at timestamptz NOT NULL,
    otherwise    text        NOT NULL CHECK (otherwise IN ('coordinator_decides', 'dissolve'))
);

-- Documents about the parties, begun or complete; `about` is what a letter of agency says beside its file.
CREATE TABLE documents (
    purchase_id uuid    NOT NULL REFERENCES groups,
    party       text    NOT NULL CHECK (party IN ('coordinator', 'buyer')),
    party_id    uuid    NOT NULL,
    kind        text    NOT NULL,
    name        text    NOT NULL,
    sha256      text    NOT NULL,
    size        bigint  NOT NULL,
    parts       int     NOT NULL CHECK (parts >= 1),
    about       jsonb,
    complete    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (purchase_id, party, party_id, kind, name)
);

-- Parts of documents that are not complete; those of complete ones stand on `aggregation.evidence`.
CREATE TABLE document_parts (
    purchase_id uuid NOT NULL,
    party       text NOT NULL,
    party_id    uuid NOT NULL,
    kind        text NOT NULL,
    name        text NOT NULL,
    part        int  NOT NULL CHECK (part >= 1),
    data        text NOT NULL,
    PRIMARY KEY (purchase_id, party, party_id, kind, name, part),
    FOREIGN KEY (purchase_id, party, party_id, kind, name) REFERENCES documents
);

-- The letter of agency that counts for each buyer.
CREATE TABLE letters (
    purchase_id uuid  NOT NULL,
    buyer_id    uuid  NOT NULL,
    agency      jsonb NOT NULL,
    sha256      text  NOT NULL,
    PRIMARY KEY (purchase_id, buyer_id),
    FOREIGN KEY (purchase_id, buyer_id) REFERENCES buyers
);
