"""The image that every process of Linepool runs from, and what goes into it."""
