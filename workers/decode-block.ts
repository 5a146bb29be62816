/** chain.blocks.v1 → transactions, transfers, swaps, logs of watched contracts, wallets' activity; removals passed on. */
import { topics } from '../schemas/topics.ts'
import type { ChainBlock } from '../schemas/types.ts'
import { decodeBlock as decode, type Watched } from './decoding/block-decoder.ts'
import { defineProcessor, type Draft, type Emit, type Topic } from './runtime/definitions.ts'
import type { Watch, WatchedChain } from './runtime/watch.ts'

/** What is watched on each chain, as plain data. */
type Settings = Readonly<Record<string, { readonly contracts: readonly string[]; readonly wrapped: string | null }>>

interface DecodeState {
  /** Logs so far that carry a known signature but not its content. */
  malformed: number
}

export const decodeBlock = defineProcessor<ChainBlock, DecodeState, Settings>({
  name: 'decode-block',
  module: import.meta.url,
  inputs: [topics.chainBlocks],
  outputs: [
    topics.chainTransactions,
    topics.chainTransfers,
    topics.chainSwaps,
    topics.chainLogs,
    topics.walletsActivity,
  ],
  state: { version: 1, empty: () => ({ malformed: 0 }) },
  removals: 'passed',
  settings: ({ chains }: Watch): Settings =>
    Object.fromEntries(
      chains.map((chain) => [chain.chainId, { contracts: chain.contracts, wrapped: wrappedNative(chain) }]),
    ),
  process(block, state, emit, { settings }) {
    const decoded = decode(block, watchedOn(settings, block.chainId))
    state.malformed += block.removed ? -decoded.malformed.length : decoded.malformed.length
    emitAll(emit, block, topics.chainTransactions, decoded.transactions)
    emitAll(emit, block, topics.chainTransfers, decoded.transfers)
    emitAll(emit, block, topics.chainSwaps, decoded.swaps)
    emitAll(emit, block, topics.chainLogs, decoded.logs)
    emitAll(emit, block, topics.walletsActivity, decoded.activity)
  },
})

/** In the order of the chain; what a removed block held is taken back in reverse. */
function emitAll<T extends object>(
  emit: Emit,
  { removed }: ChainBlock,
  topic: Topic<T>,
  records: readonly Draft<T>[],
): void {
  for (const record of removed ? records.toReversed() : records) emit(topic, record)
}

function watchedOn(settings: Settings, chainId: number): Watched {
  const chain = settings[chainId]
  return { contracts: new Set(chain?.contracts), wrapped: chain?.wrapped ?? undefined }
}

/** The watched token that is called as the native currency with a W before it: WETH, WMATIC, WBNB. */
const wrappedNative = ({ tokens, native }: WatchedChain): string | null =>
  tokens.find(({ symbol }) => symbol === `W${native.symbol}`)?.address ?? null
