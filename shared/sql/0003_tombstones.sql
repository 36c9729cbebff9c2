-- A message without a body erases what Kafka keeps under its key.
ALTER TABLE outbox ALTER COLUMN body DROP NOT NULL;
