-- To which address a password or a link went, as a keyed hash: only that address is confirmed when it comes back.
ALTER TABLE credentials ADD COLUMN address_digest text;
ALTER TABLE invitations ADD COLUMN address_digest text;

-- When it was decided how a person is reached, so that orders that are handled again in another order come to the same.
ALTER TABLE people ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT '-infinity';
