"""Every SQL statement of the portal.

`facts` and `comparisons`, `accounts` and their `credentials`, `orders` that were sent, `sessions`, `attempts` to be limited.
"""
