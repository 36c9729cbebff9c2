"""The aggregation service: buyers form a group and report their past usage, until the group is closed."""
