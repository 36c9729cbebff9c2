"""What each role sees of a purchase, made from its facts: its `group`, `request`, `outcome` and `history`.

The coordinator and the auditor see all but sealed content; a member sees the purchase, the totals, and its own row only.
"""
