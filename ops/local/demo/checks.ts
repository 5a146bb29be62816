/** Compares what the feeds sent with what the tables and the receivers hold. */
import type { Chain } from '../chain/chain.ts'
import type { Exchange } from '../exchange/exchange.ts'
import type { Tables } from './database.ts'

export interface Check {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
}

const check = (name: string, faults: readonly string[], detail: string): Check => ({
  name,
  ok: faults.length === 0,
  detail: faults.length === 0 ? detail : faults.slice(0, 5).join('; '),
})

/** Every trade of the exchange is in the table once, and nothing else is. */
export async function checkTrades(exchange: Pick<Exchange, 'ledger'>, tables: Tables): Promise<Check> {
  const rows = await tables.query<{
    symbol: string
    n: number
    distinct: number
    first: string
    last: string
    volume: string
    notional: string
  }>(
    `SELECT symbol, count(*)::int AS n, count(DISTINCT trade_id)::int AS distinct, min(trade_id::bigint)::text AS first,
            max(trade_id::bigint)::text AS last, sum(size)::text AS volume, sum(price * size)::text AS notional
     FROM trades GROUP BY symbol`,
  )
  const found = new Map(rows.map((row) => [row.symbol, row]))
  const faults: string[] = []
  let total = 0
  for (const { pair, firstId, lastId, count, volume, notional } of exchange.ledger()) {
    total += count
    const row = found.get(pair)
    found.delete(pair)
    if (row === undefined) {
      if (count > 0) faults.push(`${pair}: none of ${count} trades`)
      continue
    }
    if (row.n !== count || row.distinct !== count)
      faults.push(`${pair}: ${row.n} rows, ${row.distinct} ids, ${count} traded`)
    if (Number(row.first) !== firstId || Number(row.last) !== lastId)
      faults.push(`${pair}: ids ${row.first} to ${row.last}, traded ${firstId} to ${lastId}`)
    const sums = await tables.query<{ same: boolean }>('SELECT $1::numeric = $2::numeric AND $3::numeric = $4::numeric AS same', [row.volume, volume, row.notional, notional]) // prettier-ignore
    if (sums[0]?.same !== true)
      faults.push(`${pair}: volume ${row.volume} of ${volume}, notional ${row.notional} of ${notional}`)
  }
  faults.push(...[...found.keys()].map((symbol) => `${symbol}: never traded`))
  return check('every trade once', faults, `${total} trades, ids and exact sums equal`)
}

/**
 * Every candle equals the trades of its window, and every minute that has passed and traded has one.
 * @param venue whose; all where it is not given
 */
export async function checkCandles(tables: Tables, venue?: string): Promise<Check> {
  const faults: string[] = []
  let compared = 0
  for (const [interval, length] of [
    ['1s', '1 second'],
    ['1m', '1 minute'],
  ] as const) {
    const rows = await tables.query<{ symbol: string; start: Date; candle: string | null; traded: string | null }>(
      `WITH traded AS (
         SELECT symbol, date_bin($2::interval, ts, 'epoch') AS start, count(*) AS n, sum(size) AS volume,
                max(price) AS high, min(price) AS low, sum(size) FILTER (WHERE side = 'buy') AS bought
         FROM trades WHERE $3::text IS NULL OR venue = $3 GROUP BY 1, 2),
       candle AS (SELECT * FROM candles WHERE "interval" = $1 AND ($3::text IS NULL OR venue = $3)),
       passed AS (SELECT symbol, max(start) AS last FROM candle GROUP BY symbol)
       SELECT coalesce(c.symbol, t.symbol) AS symbol, coalesce(c.start, t.start) AS start,
              c.trades::text || ' ' || c.volume::text AS candle, t.n::text || ' ' || t.volume::text AS traded
       FROM candle c FULL JOIN traded t USING (symbol, start) LEFT JOIN passed p ON p.symbol = t.symbol
       WHERE c.symbol IS NULL AND t.start < p.last OR t.symbol IS NULL OR c.trades <> t.n OR c.volume <> t.volume
          OR c.high <> t.high OR c.low <> t.low OR c.buy_volume <> coalesce(t.bought, 0)`,
      [interval, length, venue ?? null],
    )
    const [count] = await tables.query<{ n: number }>('SELECT count(*)::int AS n FROM candles WHERE "interval" = $1', [
      interval,
    ])
    compared += count?.n ?? 0
    for (const { symbol, start, candle, traded } of rows)
      faults.push(
        `${symbol} ${interval} ${start.toISOString()}: candle ${candle ?? 'missing'}, trades ${traded ?? 'none'}`,
      )
  }
  return check('candles equal their trades', faults, `${compared} candles`)
}

/** The tables hold the canonical chain from the first block on that the connector saw, and nothing of removed blocks. */
export async function checkChain(chain: Pick<Chain, 'canonical' | 'chainId'>, tables: Tables): Promise<Check> {
  const [first] = await tables.query<{ block: number | null }>('SELECT min(block)::int AS block FROM blocks')
  if (first === undefined || first.block === null) return check('the canonical chain', ['no block in the table'], '')
  const ledger = await chain.canonical(first.block)
  const compare: [what: string, sql: string, expected: readonly string[]][] = [
    ['blocks', 'SELECT hash AS id FROM blocks', ledger.blocks.map(({ hash }) => hash)],
    ['transactions', 'SELECT id FROM transactions', ledger.transactions],
    ['native transfers', "SELECT id FROM transfers WHERE standard = 'native'", ledger.nativeTransfers],
    ['ERC-20 transfers', "SELECT id FROM transfers WHERE standard = 'erc20'", ledger.erc20Transfers],
    ['swaps', 'SELECT id FROM swaps', ledger.swaps],
  ]
  const faults: string[] = []
  for (const [what, sql, expected] of compare) {
    const found = (await tables.query<{ id: string }>(sql)).map(({ id }) => id)
    const [there, wanted] = [new Set(found), new Set(expected)]
    const [missing, foreign] = [expected.filter((id) => !there.has(id)), found.filter((id) => !wanted.has(id))]
    if (found.length !== there.size) faults.push(`${what}: ${found.length - there.size} double`)
    if (missing.length > 0)
      faults.push(`${what}: ${missing.length} of ${expected.length} missing, such as ${missing[0]}`)
    if (foreign.length > 0)
      faults.push(`${what}: ${foreign.length} that the chain does not hold, such as ${foreign[0]}`)
  }
  const counts = compare.map(([what, , expected]) => `${expected.length} ${what}`)
  return check('the canonical chain', faults, counts.join(', '))
}

/** Each side of a transfer, except the zero address, has its activity. */
export async function checkActivity(tables: Tables): Promise<Check> {
  const zero = `0x${'0'.repeat(40)}`
  const [sums] = await tables.query<{ expected: number; found: number }>(
    `SELECT (SELECT count(*) FILTER (WHERE from_address <> $1) + count(*) FILTER (WHERE to_address <> $1) FROM transfers)::int AS expected,
            (SELECT count(*) FROM wallet_activity)::int AS found`,
    [zero],
  )
  const faults = sums?.expected === sums?.found ? [] : [`${sums?.found} rows, ${sums?.expected} sides of transfers`]
  return check('wallet activity equals transfers', faults, `${sums?.found} rows`)
}

/** Nothing went to the dead letters. */
export function checkDeadLetters(count: number): Check {
  return check('no dead letters', count === 0 ? [] : [`${count} in dlq.v1; see \`npm start -- dlq list\``], 'none')
}

/** Nothing waits any more. */
export function checkLag(lags: readonly { readonly name: string; readonly lag: number }[]): Check {
  const behind = lags.filter(({ lag }) => lag > 0).map(({ name, lag }) => `${name}: ${lag}`)
  return check('nothing waits', behind, 'lag 0 at every step')
}

/** Processes ended only when they were asked to. */
export function checkRestarts(count: number): Check {
  return check('no process failed', count === 0 ? [] : [`${count} restarts; see .local/logs/demo`], 'none')
}
