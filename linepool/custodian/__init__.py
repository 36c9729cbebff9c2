"""A second custodian's keys: made, kept and released by nobody else, and without any network."""
