"""What the portal decides, without I/O and without a clock.

`facts`: a fact as it was kept. `roles`: who a person is in a purchase. `orders`: which orders people may send.
"""
