"""Every SQL statement of the aggregation service.

`groups` with their buyers and people, `reports` of usage, the `minimum` that a group must reach, and `evidence` with the letters.
"""
