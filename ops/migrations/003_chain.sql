-- What the chains say. A reorganisation deletes the rows of the blocks that it removes. Amounts are integers in the
-- token's smallest unit. The block's hash is in blocks, and in every id behind the chain's.

CREATE TABLE blocks (
  ts timestamptz NOT NULL,
  id text COLLATE "C" NOT NULL,
  received_at timestamptz NOT NULL,
  chain_id bigint NOT NULL,
  block bigint NOT NULL,
  hash text COLLATE "C" NOT NULL,
  parent_hash text COLLATE "C" NOT NULL,
  miner text COLLATE "C" NOT NULL,
  gas_used numeric NOT NULL,
  gas_limit numeric NOT NULL,
  base_fee_per_gas numeric,
  transactions integer NOT NULL,
  -- how often the block had been removed before it was added
  revision integer NOT NULL,
  PRIMARY KEY (ts, id)
);

CREATE TABLE transactions (
  ts timestamptz NOT NULL,
  id text COLLATE "C" NOT NULL,
  chain_id bigint NOT NULL,
  block bigint NOT NULL,
  tx_hash text COLLATE "C" NOT NULL,
  tx_index integer NOT NULL,
  from_address text COLLATE "C" NOT NULL,
  to_address text COLLATE "C",
  value numeric NOT NULL,
  nonce bigint NOT NULL,
  method text COLLATE "C",
  gas_used numeric NOT NULL,
  effective_gas_price numeric NOT NULL,
  success boolean NOT NULL,
  contract_address text COLLATE "C",
  PRIMARY KEY (ts, id)
);

CREATE TABLE transfers (
  ts timestamptz NOT NULL,
  id text COLLATE "C" NOT NULL,
  chain_id bigint NOT NULL,
  block bigint NOT NULL,
  tx_hash text COLLATE "C" NOT NULL,
  tx_index integer NOT NULL,
  log_index integer,
  standard text COLLATE "C" NOT NULL,
  token text COLLATE "C" NOT NULL,
  from_address text COLLATE "C" NOT NULL,
  to_address text COLLATE "C" NOT NULL,
  amount numeric NOT NULL,
  token_id numeric,
  PRIMARY KEY (ts, id)
);

CREATE TABLE swaps (
  ts timestamptz NOT NULL,
  id text COLLATE "C" NOT NULL,
  chain_id bigint NOT NULL,
  block bigint NOT NULL,
  tx_hash text COLLATE "C" NOT NULL,
  tx_index integer NOT NULL,
  log_index integer NOT NULL,
  protocol text COLLATE "C" NOT NULL,
  pool text COLLATE "C" NOT NULL,
  trader text COLLATE "C" NOT NULL,
  sender text COLLATE "C" NOT NULL,
  recipient text COLLATE "C" NOT NULL,
  amount0 numeric NOT NULL,
  amount1 numeric NOT NULL,
  PRIMARY KEY (ts, id)
);

CREATE TABLE wallet_activity (
  ts timestamptz NOT NULL,
  id text COLLATE "C" NOT NULL,
  chain_id bigint NOT NULL,
  block bigint NOT NULL,
  tx_hash text COLLATE "C" NOT NULL,
  tx_index integer NOT NULL,
  log_index integer,
  wallet text COLLATE "C" NOT NULL,
  direction text COLLATE "C" NOT NULL,
  counterparty text COLLATE "C" NOT NULL,
  standard text COLLATE "C" NOT NULL,
  token text COLLATE "C" NOT NULL,
  amount numeric NOT NULL,
  token_id numeric,
  PRIMARY KEY (ts, id)
);

CREATE INDEX wallet_activity_wallet ON wallet_activity (chain_id, wallet, ts DESC);
