"""Receipts that a provider can check: its chain of answers, and the tree under which a checkpoint holds all chains.

Pure functions, shared by bidding, which makes receipts, and by whoever verifies them. `docs/receipts.md` describes every byte.
"""
