-- Locks are taken in this order, everywhere: the gate, then providers in the order of their ids.

-- One row per purchase, made by whichever fact comes first and locked by every decision about the purchase.
CREATE TABLE gates (
    purchase_id         uuid PRIMARY KEY,
    cancelled_by        uuid,
    cancellation_reason text,
    deadline_passed_by  uuid,
    CONSTRAINT gates_are_cancelled_for_a_reason CHECK ((cancelled_by IS NULL) = (cancellation_reason IS NULL))
);

CREATE TABLE qualifications (
    purchase_id uuid        NOT NULL REFERENCES gates,
    number      int         NOT NULL CHECK (number >= 1),
    snapshot    text        NOT NULL,
    valid_until timestamptz NOT NULL,
    cause_id    uuid        NOT NULL UNIQUE,
    PRIMARY KEY (purchase_id, number)
);

-- Apart from qualifications, because a lapse may arrive before what it ends.
CREATE TABLE lapses (
    purchase_id uuid NOT NULL REFERENCES gates,
    number      int  NOT NULL CHECK (number >= 1),
    cause_id    uuid NOT NULL UNIQUE,
    PRIMARY KEY (purchase_id, number)
);

CREATE TABLE requests (
    purchase_id     uuid        NOT NULL REFERENCES gates,
    request_version int         NOT NULL CHECK (request_version >= 1),
    title           text        NOT NULL,
    deadline        timestamptz NOT NULL,
    mode            text        NOT NULL,
    snapshot        text        NOT NULL,
    cause_id        uuid        NOT NULL UNIQUE,
    opened_at       timestamptz,
    qualification   int,
    PRIMARY KEY (purchase_id, request_version),
    CONSTRAINT requests_open_for_a_qualified_group FOREIGN KEY (purchase_id, qualification) REFERENCES qualifications,
    CONSTRAINT requests_open_by_a_qualification CHECK ((opened_at IS NULL) = (qualification IS NULL)),
    CONSTRAINT requests_open_before_the_deadline CHECK (opened_at < deadline)
);

-- Position 0 is the request's content, the others are its further documents.
CREATE TABLE documents (
    purchase_id     uuid    NOT NULL,
    request_version int     NOT NULL,
    position        int     NOT NULL CHECK (position >= 0),
    name            text    NOT NULL,
    sha256          text    NOT NULL,
    size            bigint  NOT NULL,
    parts           int     NOT NULL,
    complete        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (purchase_id, request_version, position),
    FOREIGN KEY (purchase_id, request_version) REFERENCES requests
);

-- Parts may come before the request that names their document. Different data for one part are kept side by side
-- until some combination has the document's hash; what does not belong to it is deleted then.
CREATE TABLE document_parts (
    purchase_id     uuid NOT NULL REFERENCES gates,
    request_version int  NOT NULL,
    sha256          text NOT NULL,
    part            int  NOT NULL,
    data_sha256     text NOT NULL,
    data            text NOT NULL,
    cause_id        uuid NOT NULL UNIQUE,
    PRIMARY KEY (purchase_id, request_version, sha256, part, data_sha256)
);

CREATE TABLE bid_boxes (
    purchase_id     uuid NOT NULL REFERENCES gates,
    request_version int  NOT NULL,
    seal            text NOT NULL,
    public_key      text,
    cause_id        uuid NOT NULL UNIQUE,
    PRIMARY KEY (purchase_id, request_version)
);

CREATE TABLE providers (
    provider_id text    PRIMARY KEY,
    suspended   boolean NOT NULL DEFAULT false
);

-- One row per suspension and reinstatement, so that a repeated one changes nothing.
CREATE TABLE provider_standings (
    cause_id    uuid    PRIMARY KEY,
    provider_id text    NOT NULL REFERENCES providers,
    suspended   boolean NOT NULL
);

CREATE TABLE listed_providers (
    purchase_id     uuid NOT NULL,
    request_version int  NOT NULL,
    provider_id     text NOT NULL REFERENCES providers,
    PRIMARY KEY (purchase_id, request_version, provider_id),
    FOREIGN KEY (purchase_id, request_version) REFERENCES requests
);

-- The disclosure ledger: who was shown what, when, and by which right.
CREATE TABLE disclosures (
    purchase_id     uuid        NOT NULL,
    request_version int         NOT NULL,
    provider_id     text        NOT NULL,
    content_sha256  text        NOT NULL,
    qualification   int         NOT NULL,
    disclosed_at    timestamptz NOT NULL,
    cause_id        uuid        NOT NULL UNIQUE,
    CONSTRAINT disclosures_are_made_once PRIMARY KEY (purchase_id, request_version, provider_id),
    CONSTRAINT disclosures_are_made_to_listed_providers
        FOREIGN KEY (purchase_id, request_version, provider_id) REFERENCES listed_providers,
    CONSTRAINT disclosures_are_made_for_a_qualified_group
        FOREIGN KEY (purchase_id, qualification) REFERENCES qualifications
);
CREATE TRIGGER disclosures_are_insert_only
    BEFORE UPDATE OR DELETE ON disclosures FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER disclosures_are_never_emptied
    BEFORE TRUNCATE ON disclosures FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What each shut gate waits for, or what shut it for good. For people and monitors: the decision is `domain.judge`.
CREATE VIEW waiting AS
SELECT
    gate.purchase_id,
    request.request_version,
    CASE
        WHEN gate.cancelled_by IS NOT NULL THEN 'cancelled'
        WHEN gate.deadline_passed_by IS NOT NULL OR request.deadline <= clock_timestamp() THEN 'deadline passed'
        WHEN EXISTS (
            SELECT FROM requests AS newer
            WHERE newer.purchase_id = gate.purchase_id AND newer.request_version > request.request_version
        ) THEN 'superseded'
    END AS shut_by,
    CASE WHEN request.request_version IS NULL THEN ARRAY['request'] ELSE
        ARRAY(
            SELECT CASE document.position WHEN 0 THEN 'content' ELSE document.name END || CASE
                WHEN document.parts = (
                    SELECT count(DISTINCT part.part) FROM document_parts AS part
                    WHERE part.purchase_id = document.purchase_id
                        AND part.request_version = document.request_version
                        AND part.sha256 = document.sha256 AND part.part BETWEEN 1 AND document.parts
                ) THEN ' with the right hash'
                ELSE ''
            END
            FROM documents AS document
            WHERE document.purchase_id = request.purchase_id
                AND document.request_version = request.request_version AND NOT document.complete
            ORDER BY document.position
        )
        || CASE WHEN box.purchase_id IS NULL THEN ARRAY['bid box'] ELSE ARRAY[]::text[] END
        || CASE WHEN EXISTS (
            SELECT FROM qualifications AS held
            WHERE held.purchase_id = request.purchase_id AND held.snapshot = request.snapshot
                AND held.valid_until > clock_timestamp()
                AND NOT EXISTS (
                    SELECT FROM lapses
                    WHERE lapses.purchase_id = held.purchase_id AND lapses.number = held.number
                )
        ) THEN ARRAY[]::text[] ELSE ARRAY['qualification'] END
    END AS waiting_for
FROM gates AS gate
LEFT JOIN requests AS request ON request.purchase_id = gate.purchase_id
LEFT JOIN bid_boxes AS box
    ON box.purchase_id = request.purchase_id AND box.request_version = request.request_version
WHERE request.opened_at IS NULL;
