"""The demonstration: one whole purchase, told on public usage and invented offers."""
