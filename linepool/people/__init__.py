"""The command line of people: coordinators, members and auditors. It knows the portal's API, and nothing behind it."""
