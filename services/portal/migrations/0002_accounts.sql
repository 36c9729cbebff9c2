-- How a person is reached. Strangers may name an address, so several persons may have the same one.
CREATE TABLE accounts (
    person_id         uuid PRIMARY KEY,
    name              text NOT NULL,
    email             text NOT NULL,
    phone             text,
    unconfirmed_email text
);
CREATE INDEX accounts_by_email ON accounts (lower(email));

-- What aggregation.credentials says under each of its keys: how to check a secret, never the secret. A higher number takes the
-- place of a lower one. closed: aggregation says so; void: too many failures. `used_at`: the portal has accepted it; `failures`: how often something else was tried in its place.
CREATE TABLE credentials (
    key           text PRIMARY KEY,
    person_id     uuid NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('chosen', 'initial', 'invitation', 'address_code', 'second_factor')),
    number        int  NOT NULL CHECK (number >= 1),
    state         text NOT NULL CHECK (state IN ('standing', 'closed', 'void')),
    purchase_id   uuid,
    invitation_id uuid,
    verifier      text,
    expires_at    timestamptz,
    used_at       timestamptz,
    failures      int  NOT NULL DEFAULT 0
);
CREATE INDEX credentials_by_person ON credentials (person_id, kind);
CREATE INDEX credentials_of_links ON credentials (verifier) WHERE kind = 'invitation';

-- What was tried, to limit how often: by whom or about whom, as a keyed hash.
CREATE TABLE attempts (
    id  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text        NOT NULL,
    at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX attempts_by_key ON attempts (key, at);

-- The newest time step of a time-based code that each person has used: none is accepted twice.
CREATE TABLE code_steps (
    person_id uuid   PRIMARY KEY,
    step      bigint NOT NULL
);
