-- Offers may be sealed for a second custodian too, whose key is released once the deadline has passed.
ALTER TABLE boxes
    ADD COLUMN custodian_key text
        CONSTRAINT boxes_with_a_custodian_are_sealed CHECK (custodian_key IS NULL OR seal = 'hpke');

-- The private keys that were handed in, each for one purchase and after its deadline.
CREATE TABLE released_keys (
    purchase_id uuid        PRIMARY KEY REFERENCES boxes,
    private_key text        NOT NULL,
    released_at timestamptz NOT NULL,
    cause_id    uuid        NOT NULL UNIQUE
);
CREATE TRIGGER released_keys_are_insert_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON released_keys FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT (custodian_key) ON boxes TO opener;
GRANT SELECT (purchase_id, private_key) ON released_keys TO opener;
