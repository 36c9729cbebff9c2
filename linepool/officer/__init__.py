"""`linepool officer`: which groups wait to be verified, what there is to look at, and what the officer found."""
