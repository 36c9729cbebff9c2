"""Bidding: takes what providers say, compares it after the deadline, and records what the group selects."""
