"""People's way in: who they are, what they may order, and what they may see."""
