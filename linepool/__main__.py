"""`python -m linepool` is the command `linepool`."""

from linepool.cli import app

app()
