-- What a person has said and shown: their address is recognised by a keyed hash, and so is one that is not yet confirmed.
-- recorded_by becomes the person themselves once they have spoken.
ALTER TABLE people
    ADD COLUMN address_digest   text,
    ADD COLUMN pending_digest   text,
    ADD COLUMN confirmed_at     timestamptz,
    ADD COLUMN chosen           int NOT NULL DEFAULT 0,
    ADD COLUMN codes            int NOT NULL DEFAULT 0,
    ADD COLUMN code_assigned_at timestamptz,
    ADD COLUMN code_open        boolean NOT NULL DEFAULT false;

ALTER TABLE credentials ADD COLUMN spent_at timestamptz;

-- Invitations to join; `number` counts the links that were sent, of which only the newest one works.
CREATE TABLE invitations (
    invitation_id uuid        PRIMARY KEY,
    purchase_id   uuid        NOT NULL REFERENCES groups,
    legal_name    text        NOT NULL,
    contact_id    uuid        NOT NULL,
    number        int         NOT NULL CHECK (number >= 1),
    state         text        NOT NULL CHECK (state IN ('invited', 'accepted', 'revoked')),
    assigned_at   timestamptz NOT NULL
);
CREATE INDEX invitations_by_purchase ON invitations (purchase_id);

-- Who may read all of a purchase but sealed content.
CREATE TABLE auditors (
    purchase_id  uuid        NOT NULL REFERENCES groups,
    person_id    uuid        NOT NULL,
    appointed_at timestamptz NOT NULL,
    dismissed_at timestamptz,
    PRIMARY KEY (purchase_id, person_id)
);
