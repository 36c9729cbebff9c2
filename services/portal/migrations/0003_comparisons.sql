-- Parts of full comparisons, as they arrive.
CREATE TABLE comparison_parts (
    purchase_id uuid  NOT NULL,
    sha256      text  NOT NULL,
    part        int   NOT NULL,
    manifest    jsonb NOT NULL,
    data        text  NOT NULL,
    PRIMARY KEY (purchase_id, sha256, part)
);
