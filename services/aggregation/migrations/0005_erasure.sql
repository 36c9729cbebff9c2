-- Purchases that are over by what other services said, whichever of our own facts of them have arrived.
CREATE TABLE ended_purchases (
    purchase_id uuid PRIMARY KEY
);

-- An erased person stays known by their id, so that nobody brings them back unasked.
ALTER TABLE people ADD COLUMN erased_at timestamptz;
