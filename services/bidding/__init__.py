"""Bidding: takes what providers say, keeps it until the deadline, compares it, and records what the group selects."""
