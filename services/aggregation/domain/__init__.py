"""What aggregation decides, without I/O and without a clock.

`groups`: who may give which order, how a usage report grows, and what closing freezes. `minimum`: whether a group is large
enough. `evidence`: which documents can be filed, and which letters of agency are enough. `identifiers`: what a register can
have given.
"""
