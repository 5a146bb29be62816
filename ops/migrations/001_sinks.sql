-- Where sinks stand, and what is to be sent. Written in the transaction of the rows themselves.
-- Text keys compare as bytes (COLLATE "C"), here and in every table: it halves the cost of an index.

-- TimescaleDB where the server has it loaded, plain PostgreSQL otherwise. The setting is how a user without
-- privileges can tell; CREATE EXTENSION on a server that has not preloaded it would end the connection.
DO $$
BEGIN
  IF current_setting('timescaledb.disable_load', true) IS NOT NULL THEN
    CREATE EXTENSION IF NOT EXISTS timescaledb;
  END IF;
END $$;

CREATE TABLE sink_offsets (
  step text COLLATE "C" NOT NULL,
  topic text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  next_offset bigint NOT NULL,
  append_time timestamptz NOT NULL,
  PRIMARY KEY (step, topic, partition)
) WITH (fillfactor = 50);

CREATE TABLE sink_positions (
  step text COLLATE "C" NOT NULL,
  topic text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  origin text COLLATE "C" NOT NULL,
  position text COLLATE "C" NOT NULL,
  PRIMARY KEY (step, topic, partition, origin)
) WITH (fillfactor = 50);

-- One row a message to be sent: an alert, or with removed its retraction, to one channel.
CREATE TABLE alert_outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  alert_id text COLLATE "C" NOT NULL,
  revision integer NOT NULL,
  removed boolean NOT NULL,
  channel text COLLATE "C" NOT NULL,
  -- the message before it about the same alert to the same channel, which has to be settled first
  after_id bigint,
  -- pending: to be sent; sending: claimed until claimed_until; sent: the provider has it; failed: to be tried again at
  -- next_attempt_at; cancelled: removed before it was sent; dead: given up, a person should look
  status text COLLATE "C" NOT NULL DEFAULT 'pending'
    CHECK (status IN ('pending', 'sending', 'sent', 'failed', 'cancelled', 'dead')),
  -- an attempt ended without an answer: it may have arrived
  uncertain boolean NOT NULL DEFAULT false,
  payload jsonb NOT NULL,
  -- W3C traceparent of the record, or of the removal
  traceparent text COLLATE "C",
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  claimed_by text COLLATE "C",
  claimed_until timestamptz,
  provider_id text COLLATE "C",
  error text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  sent_at timestamptz,
  UNIQUE (alert_id, revision, removed, channel)
);

CREATE INDEX alert_outbox_open ON alert_outbox (channel, id) WHERE status IN ('pending', 'sending', 'failed');
CREATE INDEX alert_outbox_retractions ON alert_outbox (channel) WHERE removed AND status IN ('pending', 'failed');
CREATE INDEX alert_outbox_sent ON alert_outbox (channel, sent_at) WHERE status = 'sent';

-- What the replicas of the dispatcher share of a channel.
CREATE TABLE alert_channels (
  channel text COLLATE "C" PRIMARY KEY,
  -- digest of where it leads to: another address lifts a ban
  target text COLLATE "C" NOT NULL,
  open_at timestamptz NOT NULL DEFAULT now(),
  disabled text
);
