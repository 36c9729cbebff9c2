"""What people and providers do from outside: each with a Kafka login of their own, and nothing but messages.

`people` gives the group's orders (the portal's login), `authorities` has the officer and the operator, `provider` is one
provider's side, `watcher` looks on with a login that may read everything. `orders` and `journal` are what they share:
giving an order and finding out what came of it, and reading topics from their beginning.
"""
