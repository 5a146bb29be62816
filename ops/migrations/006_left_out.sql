-- What sinks have left out: a redriven record counts only if it is here, and strikes itself off.
CREATE TABLE sink_left_out (
  step text COLLATE "C" NOT NULL,
  topic text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  -- where the record stands in its topic
  record_offset bigint NOT NULL,
  -- empty where it cannot be read
  record_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (step, topic, partition, record_offset)
);

-- refusals: how many records were refused in a row, as JSON; accepted_until: what is refused before this offset is rightly
-- refused, a person has said.
ALTER TABLE sink_offsets ADD COLUMN refusals text, ADD COLUMN accepted_until bigint;
