-- Hypertables, columnstore, retention and the longer candles where TimescaleDB is; the same names as plain tables and
-- views where it is not. What is kept or compressed goes by when a chunk was created, not by its event time, so that a
-- replay of last year is not dropped the day it is made.
--
-- Sources: docs of create_hypertable, add_columnstore_policy (2.18), add_retention_policy, CREATE MATERIALIZED VIEW
-- (continuous aggregate) at https://www.tigerdata.com/docs/. WITH NO DATA because the refresh could not run in a
-- transaction.

DO $$
DECLARE
  extended boolean := EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb');
  -- Columnstore, policies and continuous aggregates are missing from builds under the Apache licence alone.
  complete boolean := extended AND coalesce(current_setting('timescaledb.license', true), '') = 'timescale';
  stored record;
  longer record;
  candle text := $view$
    SELECT %s AS start, venue, symbol,
      (array_agg(open ORDER BY start))[1] AS open, max(high) AS high, min(low) AS low,
      (array_agg(close ORDER BY start DESC))[1] AS close,
      sum(volume) AS volume, sum(quote_volume) AS quote_volume, sum(buy_volume) AS buy_volume, sum(trades) AS trades
    FROM candles WHERE "interval" = '1m' GROUP BY 1, venue, symbol
  $view$;
BEGIN
  FOR stored IN
    SELECT * FROM (VALUES
      ('trades', 'ts', interval '1 day', 'venue, symbol', interval '90 days'),
      ('quotes', 'ts', interval '1 day', 'venue, symbol', interval '30 days'),
      ('candles', 'start', interval '7 days', 'venue, symbol, "interval"', NULL),
      ('feed_status', 'ts', interval '7 days', 'feed', interval '365 days'),
      ('blocks', 'ts', interval '7 days', 'chain_id', interval '365 days'),
      ('transactions', 'ts', interval '1 day', 'chain_id', interval '365 days'),
      ('transfers', 'ts', interval '1 day', 'chain_id, token', interval '365 days'),
      ('swaps', 'ts', interval '1 day', 'chain_id, pool', interval '365 days'),
      ('wallet_activity', 'ts', interval '1 day', 'chain_id', interval '365 days'),
      ('risk_markets', 'ts', interval '7 days', 'venue, symbol', NULL),
      ('risk_wallets', 'ts', interval '7 days', 'chain_id', NULL),
      ('pattern_matches', 'ts', interval '30 days', 'pattern', NULL),
      ('trade_signals', 'ts', interval '30 days', 'venue, symbol', NULL),
      ('alerts', 'ts', interval '30 days', 'rule', NULL)
    ) AS t (name, time_column, chunk, segment, kept)
  LOOP
    CONTINUE WHEN NOT extended;
    PERFORM create_hypertable(stored.name::regclass, by_range(stored.time_column, stored.chunk));
    CONTINUE WHEN NOT complete;
    EXECUTE format(
      'ALTER TABLE %I SET (timescaledb.enable_columnstore, timescaledb.segmentby = %L, timescaledb.orderby = %L)',
      stored.name, stored.segment, stored.time_column || ' DESC');
    EXECUTE format('CALL add_columnstore_policy(%L, created_before => %L::interval)', stored.name, interval '7 days');
    IF stored.kept IS NOT NULL THEN
      PERFORM add_retention_policy(stored.name::regclass, drop_created_before => stored.kept);
    END IF;
  END LOOP;

  FOR longer IN
    SELECT * FROM (VALUES
      ('candles_5m', interval '5 minutes'),
      ('candles_1h', interval '1 hour'),
      ('candles_1d', interval '1 day')
    ) AS t (name, width)
  LOOP
    IF complete THEN
      EXECUTE format(
        'CREATE MATERIALIZED VIEW %I WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS %s WITH NO DATA',
        longer.name, format(candle, format('time_bucket(%L::interval, start)', longer.width)));
      PERFORM add_continuous_aggregate_policy(longer.name::regclass,
        start_offset => NULL::interval, end_offset => longer.width, schedule_interval => least(longer.width, interval '1 hour'));
    ELSE
      EXECUTE format('CREATE VIEW %I AS %s', longer.name,
        format(candle, format('date_bin(%L::interval, start, %L::timestamptz)', longer.width, 'epoch')));
    END IF;
  END LOOP;
END $$;
