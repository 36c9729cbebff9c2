"""Every SQL statement of the bidding service: `boxes`, `intake`, `usage` and `awards`."""
