/** Reads the demo's tables. */
import pg from 'pg'

export interface Tables {
  query<Row extends Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<Row[]>
  /** Rows of every table that a sink fills. */
  counts(): Promise<Record<string, number>>
  close(): Promise<void>
}

const tables = ['trades', 'quotes', 'candles', 'feed_status', 'blocks', 'transactions', 'transfers', 'swaps', 'wallet_activity', 'risk_markets', 'risk_wallets', 'pattern_matches', 'trade_signals', 'alerts', 'alert_outbox'] // prettier-ignore

export function openTables(url: string): Tables {
  const pool = new pg.Pool({ connectionString: url, max: 2, application_name: 'crypto-intel-demo' })
  pool.on('error', () => {})
  return {
    query: async (sql, values = []) => (await pool.query(sql, [...values])).rows,
    async counts() {
      const selects = tables.map((name) => `SELECT '${name}' AS name, count(*)::int AS rows FROM ${name}`)
      const { rows } = await pool.query<{ name: string; rows: number }>(selects.join(' UNION ALL '))
      return Object.fromEntries(rows.map(({ name, rows: count }) => [name, count]))
    },
    close: () => pool.end(),
  }
}
