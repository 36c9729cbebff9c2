"""Finds any edit of the services' logs and ledgers: `linepool audit verify`.

`evidence` reads one service's tables and its own topics, `chains` judges one subject's log, `ledger` the disclosure ledger,
`verify` all of it.
"""
