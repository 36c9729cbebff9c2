-- What the operator asked for when the group was frozen; null: it was frozen before levels were told apart.
ALTER TABLE requests ADD COLUMN policy jsonb;
-- By which fact the group was given up.
ALTER TABLE requests ADD COLUMN dissolved_by uuid;
-- The documents that a finding rests on.
ALTER TABLE verifications ADD COLUMN evidence text[] NOT NULL DEFAULT '{}';

-- Documents that were filed about the parties, letters of agency included.
CREATE TABLE evidence (
    purchase_id uuid NOT NULL,
    party       text NOT NULL CHECK (party IN ('coordinator', 'buyer')),
    party_id    uuid NOT NULL,
    sha256      text NOT NULL,
    PRIMARY KEY (purchase_id, party, party_id, sha256)
);

-- People whose mail address is confirmed.
CREATE TABLE confirmed_addresses (
    person_id uuid PRIMARY KEY
);

-- People who were invited into the group: whoever was never qualifies it.
CREATE TABLE invited (
    purchase_id uuid NOT NULL,
    person_id   uuid NOT NULL,
    PRIMARY KEY (purchase_id, person_id)
);
