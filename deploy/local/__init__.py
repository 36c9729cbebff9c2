"""The whole stack on one machine, from packages: real Kafka, real PostgreSQL, a mail server, the services."""
