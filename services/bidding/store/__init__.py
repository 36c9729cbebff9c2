"""Every SQL statement of the bidding service, inside transactions of others: `boxes`, `intake`, `usage` and `awards`."""
