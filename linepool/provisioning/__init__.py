"""Access at the broker and the register of providers: what an operator does by `linepool access` and `linepool provider`."""
