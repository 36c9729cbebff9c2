-- Whose sign-in asks for a time-based code; the secret itself is the portal's, and derived.
CREATE TABLE second_factors (
    person_id uuid    PRIMARY KEY,
    number    int     NOT NULL CHECK (number >= 1),
    enabled   boolean NOT NULL
);
