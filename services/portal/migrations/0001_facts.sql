-- Every purchase that any fact named, and how many facts there are of it: their numbers are given under this row's lock,
-- so that whoever has seen number n has seen all before it.
CREATE TABLE purchases (
    purchase_id uuid PRIMARY KEY,
    facts       int  NOT NULL DEFAULT 0
);

-- Every fact that the portal may read, as it was said. What people see is made from these.
CREATE TABLE facts (
    event_id    uuid        PRIMARY KEY,
    purchase_id uuid        REFERENCES purchases,
    number      int,
    stream      text        NOT NULL,
    type        text        NOT NULL,
    subject     text        NOT NULL,
    said_at     timestamptz NOT NULL,
    caused_by   uuid,
    ordered_by  uuid,
    body        jsonb       NOT NULL,
    CONSTRAINT facts_are_numbered_within_their_purchase UNIQUE (purchase_id, number),
    CONSTRAINT facts_of_a_purchase_have_a_number CHECK ((purchase_id IS NULL) = (number IS NULL))
);
CREATE INDEX facts_by_cause ON facts (caused_by);
CREATE INDEX facts_about_others ON facts (stream, subject) WHERE purchase_id IS NULL;

-- Which purchases a person has ever had to do with; in which role they have now is judged from the facts.
CREATE TABLE concerned (
    person_id   uuid NOT NULL,
    purchase_id uuid NOT NULL,
    PRIMARY KEY (person_id, purchase_id)
);

-- Orders that were sent, for ever: whose they are, so that nobody else may ask what came of them.
CREATE TABLE orders (
    order_id    uuid        PRIMARY KEY,
    person_id   uuid        NOT NULL,
    purchase_id uuid,
    type        text        NOT NULL,
    body_sha256 text        NOT NULL,
    sent_at     timestamptz NOT NULL
);

-- Who is signed in: the hash of a random token, never the token.
CREATE TABLE sessions (
    session_id   uuid        PRIMARY KEY,
    token_sha256 text        NOT NULL UNIQUE,
    person_id    uuid        NOT NULL,
    began_at     timestamptz NOT NULL,
    seen_at      timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL
);
CREATE INDEX sessions_by_person ON sessions (person_id);
