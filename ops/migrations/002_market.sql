-- What the markets say. Prices and sizes are exact decimals; ts is event time. The time comes first in every key: new
-- rows then go to the end of the index.

CREATE TABLE trades (
  ts timestamptz NOT NULL,
  received_at timestamptz NOT NULL,
  venue text COLLATE "C" NOT NULL,
  symbol text COLLATE "C" NOT NULL,
  trade_id text COLLATE "C" NOT NULL,
  side text COLLATE "C" NOT NULL,
  price numeric NOT NULL,
  size numeric NOT NULL,
  PRIMARY KEY (ts, venue, symbol, trade_id)
);

CREATE TABLE quotes (
  ts timestamptz NOT NULL,
  id text COLLATE "C" NOT NULL,
  received_at timestamptz NOT NULL,
  venue text COLLATE "C" NOT NULL,
  symbol text COLLATE "C" NOT NULL,
  update_id bigint,
  bid_price numeric NOT NULL,
  bid_size numeric NOT NULL,
  ask_price numeric NOT NULL,
  ask_size numeric NOT NULL,
  PRIMARY KEY (ts, id)
);

-- start is the window's first moment, by which charts draw it; ts its end.
CREATE TABLE candles (
  start timestamptz NOT NULL,
  ts timestamptz NOT NULL,
  venue text COLLATE "C" NOT NULL,
  symbol text COLLATE "C" NOT NULL,
  "interval" text COLLATE "C" NOT NULL,
  open numeric NOT NULL,
  high numeric NOT NULL,
  low numeric NOT NULL,
  close numeric NOT NULL,
  volume numeric NOT NULL,
  quote_volume numeric NOT NULL,
  buy_volume numeric NOT NULL,
  trades integer NOT NULL,
  PRIMARY KEY (start, venue, symbol, "interval")
);

CREATE TABLE feed_status (
  ts timestamptz NOT NULL,
  id text COLLATE "C" NOT NULL,
  received_at timestamptz NOT NULL,
  feed text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  detail text NOT NULL,
  from_id text COLLATE "C",
  to_id text COLLATE "C",
  PRIMARY KEY (ts, id)
);
