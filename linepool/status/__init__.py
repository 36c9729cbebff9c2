"""`linepool status`: what runs, how it is, and where each purchase waits."""
