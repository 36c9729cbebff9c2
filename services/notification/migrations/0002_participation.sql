-- Every provider by the name that it was registered with last.
CREATE TABLE providers (
    provider_id text PRIMARY KEY,
    name        text NOT NULL
);

-- Who was invited to reply to a version, how, and since when it was granted access.
CREATE TABLE invitations (
    purchase_id     uuid NOT NULL REFERENCES purchases,
    request_version int  NOT NULL,
    provider_id     text NOT NULL,
    mode            text,
    granted_at      timestamptz,
    PRIMARY KEY (purchase_id, request_version, provider_id)
);

-- Refused requests for access that their providers were told about, each once.
CREATE TABLE told_refusals (
    cause_id uuid PRIMARY KEY
);
