-- What the opener says. Only its own role writes here, and nothing is ever changed; bidding's role reads.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is insert-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

-- The key of each version's box, and the deadline that the version had when the key was made.
CREATE TABLE keys (
    purchase_id     uuid        NOT NULL,
    request_version int         NOT NULL CHECK (request_version >= 1),
    deadline        timestamptz NOT NULL,
    public_key      text        NOT NULL,
    key_signature   text        NOT NULL,
    PRIMARY KEY (purchase_id, request_version)
);

-- The boxes that were opened, when, and how many replies they held.
CREATE TABLE opened_boxes (
    purchase_id     uuid        PRIMARY KEY,
    request_version int         NOT NULL CHECK (request_version >= 1),
    opened_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    replies         int         NOT NULL CHECK (replies >= 0)
);

-- What each sealed reply held, or why it does not open.
CREATE TABLE openings (
    reply_id    uuid  PRIMARY KEY,
    purchase_id uuid  NOT NULL REFERENCES opened_boxes,
    content     bytea,
    failure     text,
    CONSTRAINT openings_say_what_or_why CHECK ((content IS NULL) <> (failure IS NULL))
);

CREATE TRIGGER keys_are_insert_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON keys FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER opened_boxes_are_insert_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON opened_boxes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER openings_are_insert_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON openings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT USAGE ON SCHEMA opener TO bidding;
GRANT SELECT ON keys, opened_boxes, openings TO bidding;
