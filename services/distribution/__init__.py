"""Distribution: keeps the gate of each purchase and presents the request to its listed providers, once."""
