"""Tells people by mail and providers by notices what became of a purchase."""
