-- What the processors conclude. block is the newest block that a row follows from; a reorganisation that removes the
-- block deletes the row.

CREATE TABLE risk_markets (
  ts timestamptz NOT NULL,
  id text COLLATE "C" NOT NULL,
  venue text COLLATE "C" NOT NULL,
  symbol text COLLATE "C" NOT NULL,
  price numeric NOT NULL,
  observations integer NOT NULL,
  volatility double precision NOT NULL,
  annual_volatility double precision NOT NULL,
  drawdown double precision NOT NULL,
  max_drawdown double precision NOT NULL,
  value_at_risk double precision NOT NULL,
  historical_value_at_risk double precision,
  PRIMARY KEY (ts, id)
);

CREATE TABLE risk_wallets (
  ts timestamptz NOT NULL,
  id text COLLATE "C" NOT NULL,
  chain_id bigint NOT NULL,
  wallet text COLLATE "C" NOT NULL,
  score double precision NOT NULL,
  level text COLLATE "C" NOT NULL,
  factors jsonb NOT NULL,
  block bigint,
  PRIMARY KEY (ts, id)
);

CREATE INDEX risk_wallets_wallet ON risk_wallets (chain_id, wallet, ts DESC);

CREATE TABLE pattern_matches (
  ts timestamptz NOT NULL,
  id text COLLATE "C" NOT NULL,
  pattern text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  start timestamptz NOT NULL,
  confidence double precision NOT NULL,
  summary text NOT NULL,
  venue text COLLATE "C",
  symbol text COLLATE "C",
  chain_id bigint,
  wallets text[] NOT NULL,
  evidence text[] NOT NULL,
  facts jsonb NOT NULL,
  block bigint,
  PRIMARY KEY (ts, id)
);

CREATE TABLE trade_signals (
  ts timestamptz NOT NULL,
  id text COLLATE "C" NOT NULL,
  strategy text COLLATE "C" NOT NULL,
  venue text COLLATE "C" NOT NULL,
  symbol text COLLATE "C" NOT NULL,
  direction text COLLATE "C" NOT NULL,
  strength double precision NOT NULL,
  horizon_s integer NOT NULL,
  price numeric NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (ts, id)
);

CREATE TABLE alerts (
  ts timestamptz NOT NULL,
  id text COLLATE "C" NOT NULL,
  rule text COLLATE "C" NOT NULL,
  severity text COLLATE "C" NOT NULL,
  alert_group text COLLATE "C" NOT NULL,
  title text NOT NULL,
  text text NOT NULL,
  channels text[] NOT NULL,
  source_topic text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  labels jsonb NOT NULL,
  block bigint,
  revision integer NOT NULL,
  PRIMARY KEY (ts, id)
);
