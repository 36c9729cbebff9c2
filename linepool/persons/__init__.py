"""What an operator owes to persons: to say what is kept about one, and to erase it (GDPR, Articles 15 and 17)."""
