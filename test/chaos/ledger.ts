/** The feed's own ledger beside what was published and stored: each trade by a plain loop; quotes by what must always hold. */
import type { Exchange } from '../../ops/local/exchange/exchange.ts'
import type { Tables } from '../../ops/local/demo/database.ts'
import { topics } from '../../schemas/topics.ts'
import type { MarketQuote, MarketTrade } from '../../schemas/types.ts'
import { Decoder, schemaIdOf } from '../../workers/runtime/codec.ts'
import type { Registry } from '../../workers/runtime/kafka/registry.ts'
import type { Entry } from './log.ts'

/** A trade as text: the same for the exchange's, the topic's and the table's. */
type Trades = Map<string, Map<number, string>>

export class MarketLedger {
  readonly #registry: Registry
  readonly #trades = new Decoder<MarketTrade>(topics.marketTrades)
  readonly #quotes = new Decoder<MarketQuote>(topics.marketQuotes)
  readonly #published: Trades = new Map()
  readonly #lastQuotes = new Map<string, { readonly session: string; readonly updateId: number }>()
  readonly #faults: string[] = []

  constructor(registry: Registry) {
    this.#registry = registry
  }

  /** Takes the next message of any topic. */
  async take(entry: Entry): Promise<void> {
    const { topic, accepted, mark, message, foreign } = entry
    if (foreign !== undefined || !accepted || mark !== undefined || message.value === null) return
    if (topic === topics.marketTrades) await this.#trade(message.value)
    else if (topic === topics.marketQuotes) await this.#quote(entry, message.value)
  }

  /** @returns where exchange, topic and table differ, and which quotes cannot be */
  async differences(exchange: Pick<Exchange, 'ledger' | 'tradesOf'>, tables: Tables): Promise<string[]> {
    const stored = await readStored(tables)
    const faults = [...this.#faults]
    for (const { pair, firstId, lastId } of exchange.ledger()) {
      const [published, rows] = [this.#published.get(pair), stored.get(pair)]
      let [missing, unstored, other] = [0, 0, 0]
      let traded = 0
      for (const trade of exchange.tradesOf(pair, firstId, lastId)) {
        traded++
        const { id, price, quantity, time, buyerMaker } = trade
        const text = textOf(time * 1_000, buyerMaker ? 'sell' : 'buy', price, quantity)
        if (published?.get(id) === undefined) missing++
        else if (published.get(id) !== text) other++
        if (rows?.get(id) !== text) unstored++
      }
      const surplus = (published?.size ?? 0) + missing - traded
      const surplusRows = (rows?.size ?? 0) + unstored - traded
      if (missing + other + unstored + surplus + Math.max(0, surplusRows) > 0)
        faults.push(
          `${pair}: of ${traded} trades ${missing} were not published, ${other} otherwise, ${unstored} are not in the table; ${surplus} were published and ${surplusRows} are stored that were none`,
        )
    }
    return faults
  }

  async #trade(value: Buffer): Promise<void> {
    await this.#learn(this.#trades, value)
    const { symbol, tradeId, ts, side, price, size } = this.#trades.decode(value)
    const trades = this.#published.get(symbol) ?? new Map<number, string>()
    this.#published.set(symbol, trades)
    const id = Number(tradeId)
    if (trades.has(id)) this.#faults.push(`${symbol}: trade ${id} was accepted twice`)
    trades.set(id, textOf(ts, side, price, size))
  }

  async #quote({ place }: Entry, value: Buffer): Promise<void> {
    await this.#learn(this.#quotes, value)
    const { symbol, bidPrice, askPrice, updateId } = this.#quotes.decode(value)
    if (Number(bidPrice) >= Number(askPrice))
      this.#faults.push(`${symbol}: quote ${bidPrice} to ${askPrice} is crossed`)
    const session = place?.position.split('.')[0] ?? ''
    const last = this.#lastQuotes.get(symbol)
    const now = { session, updateId: updateId ?? 0 }
    if (last?.session === session && now.updateId <= last.updateId)
      this.#faults.push(`${symbol}: quote ${now.updateId} follows ${last.updateId} in one session`)
    this.#lastQuotes.set(symbol, now)
  }

  async #learn(decoder: Decoder<MarketTrade> | Decoder<MarketQuote>, value: Buffer): Promise<void> {
    const id = schemaIdOf(value)
    if (id === undefined || decoder.knows(id)) return
    const schema = await this.#registry.schema(id)
    if (schema !== undefined) decoder.learn(id, schema)
  }
}

async function readStored(tables: Tables): Promise<Trades> {
  const rows = await tables.query<{
    symbol: string
    id: number
    ts: string
    side: string
    price: string
    size: string
  }>(
    `SELECT symbol, trade_id::float8 AS id, (extract(epoch FROM ts) * 1000000)::bigint::text AS ts, side, price::text, size::text FROM trades`,
  )
  const stored: Trades = new Map()
  for (const { symbol, id, ts, side, price, size } of rows) {
    const trades = stored.get(symbol) ?? new Map<number, string>()
    stored.set(symbol, trades)
    trades.set(id, textOf(Number(ts), side, price, size))
  }
  return stored
}

const textOf = (ts: number, side: string, price: string, size: string): string => `${ts} ${side} ${price} ${size}`
