"""Every SQL statement of the bidding service: `boxes`, `intake`, `held`, `usage` and `awards`."""
