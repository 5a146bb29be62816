/** A processor that does nothing: what it costs is what the runtime costs. */
import { topics } from '../../schemas/topics.ts'
import type { MarketTrade } from '../../schemas/types.ts'
import { defineProcessor, type Topic } from '../../workers/runtime/definitions.ts'

/** The trades' topic under another name on the broker, which installation.ts gives it. */
export const passed: Topic<MarketTrade> = { ...topics.marketTrades }

/** Trades → trades. */
export const passThrough = defineProcessor<MarketTrade, object>({
  name: 'pass-through',
  module: import.meta.url,
  inputs: [topics.marketTrades],
  outputs: [passed],
  state: { version: 1, empty: () => ({}) },
  process(trade, _state, emit) {
    emit(passed, trade)
  },
})
