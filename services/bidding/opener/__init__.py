"""The opener: the one process that can open sealed replies, and opens only those of closed boxes."""
