-- Orders that were obeyed by a word that is kept as no fact, such as a changed password.
ALTER TABLE orders ADD COLUMN obeyed_at timestamptz;
