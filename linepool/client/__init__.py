"""What people do from outside: each with a Kafka login of their own, and nothing but messages.

`people` gives the group's orders (the portal's login), `authorities` has the officer and the operator, `watcher` looks on with a
login that may read everything. `orders` and `journal` are what they share with the provider kit (`linepool.provider`): giving an
order and finding out what came of it, and reading topics from their beginning.
"""
