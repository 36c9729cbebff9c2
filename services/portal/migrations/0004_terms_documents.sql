-- Parts of the documents that belong to terms, as they arrive.
CREATE TABLE terms_parts (
    purchase_id  uuid  NOT NULL,
    terms_sha256 text  NOT NULL,
    part         int   NOT NULL,
    manifest     jsonb NOT NULL,
    data         text  NOT NULL,
    PRIMARY KEY (purchase_id, terms_sha256, part)
);
