-- Of an adopted event whose body is erased its hash is kept, so that its row in the log comes out as it was.
ALTER TABLE adopted ADD COLUMN body_sha256 bytea;
