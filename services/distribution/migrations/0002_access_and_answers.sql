-- A removed provider is invited to nothing and granted nothing until it is registered again.
ALTER TABLE providers ADD COLUMN removed boolean NOT NULL DEFAULT false;
ALTER TABLE provider_standings ADD COLUMN removed boolean NOT NULL DEFAULT false;

ALTER TABLE bid_boxes ADD COLUMN key_signature text;

-- What a row of the ledger says. transmitted: the whole request was shown unasked. offered: title, deadline and hash were
-- shown, and nothing else. granted: who was offered it asked, and was shown the whole request.
ALTER TABLE disclosures
    ADD COLUMN kind text NOT NULL DEFAULT 'transmitted',
    ADD CONSTRAINT disclosures_have_a_kind CHECK (kind IN ('transmitted', 'offered', 'granted')),
    DROP CONSTRAINT disclosures_are_made_once,
    ADD CONSTRAINT disclosures_are_made_once PRIMARY KEY (purchase_id, request_version, provider_id, kind);
ALTER TABLE disclosures ALTER COLUMN kind DROP DEFAULT;

-- Every request for access and what came of it, whoever asked and whether or not there is such a purchase.
CREATE TABLE access_requests (
    request_id      uuid        PRIMARY KEY,
    purchase_id     uuid        NOT NULL,
    request_version int         NOT NULL,
    provider_id     text        NOT NULL,
    message_id      text        NOT NULL,
    outcome         text        NOT NULL CHECK (outcome IN (
        'granted', 'shown_before',
        'unknown_purchase', 'suspended', 'not_qualified', 'deadline_passed', 'cancelled', 'superseded'
    )),
    decided_at      timestamptz NOT NULL,
    cause_id        uuid        NOT NULL UNIQUE
);
CREATE TRIGGER access_requests_are_insert_only
    BEFORE UPDATE OR DELETE ON access_requests FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER access_requests_are_never_emptied
    BEFORE TRUNCATE ON access_requests FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE answers (
    purchase_id     uuid        NOT NULL REFERENCES gates,
    question_id     uuid        PRIMARY KEY,
    request_version int         NOT NULL,
    question        text        NOT NULL,
    answer          text        NOT NULL,
    number          bigint      GENERATED ALWAYS AS IDENTITY,
    cause_id        uuid        NOT NULL UNIQUE
);

-- Who was told which answer, and when; an answer is request content.
CREATE TABLE answer_disclosures (
    question_id  uuid        NOT NULL REFERENCES answers,
    provider_id  text        NOT NULL REFERENCES providers,
    disclosed_at timestamptz NOT NULL,
    cause_id     uuid        NOT NULL UNIQUE,
    CONSTRAINT answers_are_disclosed_once PRIMARY KEY (question_id, provider_id)
);
CREATE TRIGGER answer_disclosures_are_insert_only
    BEFORE UPDATE OR DELETE ON answer_disclosures FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER answer_disclosures_are_never_emptied
    BEFORE TRUNCATE ON answer_disclosures FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
