"""The members of a group from a table: who they are, and how their contact persons are reached."""
