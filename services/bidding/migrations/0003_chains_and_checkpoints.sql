-- Each provider's chain of answers ends here. Locked by whoever answers it, in the order of the ids, after boxes and held messages.
CREATE TABLE chains (
    provider_id text   PRIMARY KEY,
    number      bigint NOT NULL CHECK (number >= 0),
    head        bytea  NOT NULL CHECK (octet_length(head) = 32)
);

-- Where each answer stands in its provider's chain; null on answers from before there were chains.
ALTER TABLE provider_messages
    ADD COLUMN chain_number bigint CHECK (chain_number >= 1),
    ADD COLUMN chain_head   bytea  CHECK (octet_length(chain_head) = 32),
    ADD CONSTRAINT answers_have_a_number_with_a_head CHECK ((chain_number IS NULL) = (chain_head IS NULL)),
    ADD CONSTRAINT answers_have_each_number_once UNIQUE (provider_id, chain_number);

-- When the group was qualified, before which no provider knows of the purchase: from then on checkpoints are due at equal distances,
-- until the box is closed.
ALTER TABLE boxes
    ADD COLUMN checkpoints_from timestamptz,
    ADD COLUMN checkpoints_ended boolean NOT NULL DEFAULT false;
CREATE INDEX boxes_with_checkpoints_to_come ON boxes (purchase_id)
    WHERE checkpoints_from IS NOT NULL AND NOT checkpoints_ended;

-- What was said to every listed provider, and how far each chain went then: the provider at one place of each array.
-- Salts, places and fillers are derived again when it is proved.
CREATE TABLE published_checkpoints (
    purchase_id   uuid        NOT NULL,
    number        int         NOT NULL CHECK (number >= 1),
    made_at       timestamptz NOT NULL,
    root          bytea       NOT NULL CHECK (octet_length(root) = 32),
    -- Null where a restored database could not tell any more how far the chains went.
    provider_ids  text[],
    chain_numbers bigint[],
    chain_heads   bytea[],
    -- Said before the database was restored: some provider's copy may have been lost.
    adopted       boolean     NOT NULL DEFAULT false,
    proved_at     timestamptz,
    PRIMARY KEY (purchase_id, number),
    CONSTRAINT published_checkpoints_cover_each_provider CHECK (
        num_nulls(provider_ids, chain_numbers, chain_heads) = 3
        OR (
            cardinality(provider_ids) = cardinality(chain_numbers)
            AND cardinality(provider_ids) = cardinality(chain_heads)
        )
    )
);
CREATE INDEX published_checkpoints_to_prove ON published_checkpoints (purchase_id, number) WHERE proved_at IS NULL;
