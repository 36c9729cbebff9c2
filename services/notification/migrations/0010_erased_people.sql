-- Whose name and address were erased: a contact that comes late is not kept, and no mail to them is due. Tombstones tell it too,
-- but not for ever: a database that is restored from an older copy may come after they are gone.
CREATE TABLE erased_people (
    person_id uuid PRIMARY KEY
);
