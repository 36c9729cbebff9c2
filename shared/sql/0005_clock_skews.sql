-- How far Kafka's and Postgres's clocks disagreed at least: the most of each minute in which the relay sent something. It takes the
-- place of clock_skew, whose one row knows the last round alone.
CREATE TABLE clock_skews (
    minute timestamptz PRIMARY KEY,
    skew   interval    NOT NULL
);
