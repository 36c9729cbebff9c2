-- A purchase whose terms were accepted is complete: it lists nobody any more whose removal would harm it.
ALTER TABLE requests ADD COLUMN completed_by uuid;

-- Documents that the coordinator adds to the draft, in the order in which they were begun.
CREATE TABLE attachments (
    purchase_id uuid    NOT NULL REFERENCES requests,
    name        text    NOT NULL,
    number      bigint  GENERATED ALWAYS AS IDENTITY,
    sha256      text    NOT NULL,
    size        bigint  NOT NULL,
    parts       int     NOT NULL CHECK (parts >= 1),
    complete    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (purchase_id, name)
);

CREATE TABLE attachment_parts (
    purchase_id uuid NOT NULL,
    name        text NOT NULL,
    part        int  NOT NULL CHECK (part >= 1),
    data        text NOT NULL,
    PRIMARY KEY (purchase_id, name, part),
    FOREIGN KEY (purchase_id, name) REFERENCES attachments
);

-- Questions about the request, as bidding passes them on: who asked is not known here.
CREATE TABLE questions (
    purchase_id     uuid NOT NULL REFERENCES requests,
    question_id     uuid NOT NULL,
    request_version int  NOT NULL,
    question        text NOT NULL,
    cause_id        uuid NOT NULL UNIQUE,
    -- The order that answered it.
    answered_by     uuid UNIQUE,
    PRIMARY KEY (purchase_id, question_id)
);
