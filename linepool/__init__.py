"""What people outside the services use: the command, the providers' kit, rating and usage files."""
