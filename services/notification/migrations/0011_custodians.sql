-- Whose key the opening of the replies waits for; NULL where the request names no custodian.
ALTER TABLE requests ADD COLUMN custodian text;
