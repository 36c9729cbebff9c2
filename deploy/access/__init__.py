"""Topics, principals, access rules and Postgres roles: the one source, as data, and what applies it."""
