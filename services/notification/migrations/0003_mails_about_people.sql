-- Mails that bring a link or a code, and mails about a person that belong to no purchase.

-- Where a person wants to be reached once the code that goes there has come back, and which version of the contact
-- all this is: versions only grow, so an older one that comes again changes nothing. NULL: kept before versions were.
ALTER TABLE contacts ADD COLUMN unconfirmed_email text;
ALTER TABLE contacts ADD COLUMN version bigint;

-- Of each secret on `aggregation.credentials`, by its key there: the newest, and whether it is still good.
CREATE TABLE newest_secrets (
    key    text PRIMARY KEY,
    number int NOT NULL CHECK (number >= 1),
    closed boolean NOT NULL
);
INSERT INTO newest_secrets (key, number, closed)
SELECT person_id || '/' || purchase_id, max((letter ->> 'number')::int), false
FROM mails WHERE kind = 'initial_password' GROUP BY person_id, purchase_id;

-- Who left; the row of the joining that it ended, so that a later one of the same buyer stands.
ALTER TABLE joinings ADD COLUMN left_by uuid UNIQUE;

-- How large a group must become, as it was said last.
ALTER TABLE purchases ADD COLUMN minimum jsonb;

ALTER TABLE mails ALTER COLUMN purchase_id DROP NOT NULL;
ALTER TABLE mails ADD COLUMN secret_key text;
ALTER TABLE mails ADD COLUMN contact_version bigint;
-- Personal data while the mail waits: the address that counted before, which is told that it no longer does.
ALTER TABLE mails ADD COLUMN former_email text;
UPDATE mails SET secret_key = person_id || '/' || purchase_id WHERE kind = 'initial_password';

COMMENT ON COLUMN mails.sealed_password IS 'The box of what the mail brings: a password, the secret of a link, or a code.';
ALTER TABLE mails DROP CONSTRAINT mails_with_a_password_are_of_that_kind;
ALTER TABLE mails ADD CONSTRAINT mails_with_a_secret_are_of_a_kind_that_brings_one
    CHECK (sealed_password IS NULL OR kind IN ('initial_password', 'invitation', 'address_code'));
ALTER TABLE mails ADD CONSTRAINT mails_keep_no_address_after_their_end
    CHECK (former_email IS NULL OR (delivered_at IS NULL AND failed_at IS NULL));
ALTER TABLE mails ADD CONSTRAINT mails_without_a_purchase_are_about_the_person
    CHECK (purchase_id IS NOT NULL
           OR kind IN ('address_code', 'password_changed', 'address_changed', 'second_factor_changed'));
ALTER TABLE mails ADD CONSTRAINT mails_to_a_former_address_say_that_it_is_one
    CHECK (former_email IS NULL OR kind = 'address_changed');
