/** Steps that trades make fail: by the venue's id, "throws", "grows" (until memory is out) or "loops" (for ever). */
import { topics } from '../../../schemas/topics.ts'
import type { MarketTrade } from '../../../schemas/types.ts'
import { defineProcessor } from '../../../workers/runtime/definitions.ts'

interface Tally {
  begun: number
  trades: number
}

/**
 * Emits how many trades of its key it has begun with and how many it has finished: both are wrong once a trade is lost,
 * counted twice or left half done.
 */
const tallyCalled = (name: string, module: string, fails: (trade: MarketTrade) => void) =>
  defineProcessor<MarketTrade, Tally>({
    name,
    module,
    inputs: [topics.marketTrades],
    outputs: [topics.patternsMatches],
    state: { version: 1, empty: () => ({ begun: 0, trades: 0 }) },
    process(trade, state, emit, at) {
      state.begun++
      const { id, venue, symbol, ts } = trade
      const facts = { begun: String(state.begun), trades: String(++state.trades) }
      // prettier-ignore
      emit(topics.patternsMatches, { id: `${name}:${id}`, pattern: name, subject: at.key, ts, start: ts, confidence: 1, summary: '', venue, symbol, chainId: null, wallets: [], evidence: [], facts })
      fails(trade)
    },
  })

function fail({ tradeId, ts }: MarketTrade): void {
  if (tradeId === 'throws') throw new Error('an id that is none')
  if (tradeId === 'loops') for (;;);
  const hoard: number[][] = []
  while (tradeId === 'grows') hoard.push(Array<number>(1_000_000).fill(ts))
}

export const tally = tallyCalled('tally', import.meta.url, fail)
/** The same step in a release that has a bug. */
export const buggyTally = (module: string) =>
  tallyCalled('tally', module, () => {
    throw new Error('a bug')
  })
/** The same step after a fix. */
export const mendedTally = (module: string) => tallyCalled('tally', module, () => {})
export const bystander = tallyCalled('bystander', import.meta.url, () => {})
