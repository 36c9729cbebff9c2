"""One independent judge of what must always hold: it reads all topics and tables, and trusts no service.

It imports nothing of the services and of their delivery; what must be true is worked out from raw records.
`history` is what it looks at, `report` what it says, `judge` the whole; `collect` reads a live stack.
"""
