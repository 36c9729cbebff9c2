"""Finds any edit of the services' logs and ledgers: `linepool audit verify`.

`topics` and `tables` read one service, `gathered` holds what they read, on disk; `evidence` is what it consists of.
`chains` judges one subject's log, `ledger` the ledgers of disclosure, `verify` all of it.
"""
