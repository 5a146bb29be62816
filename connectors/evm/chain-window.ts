/** The window of a chain that is not final yet, kept by the chain's journal: what was appended last is what we know. */
import type { ChainBlock } from '../../schemas/types.ts'
import type { Journal, Micros, Stamp } from '../../workers/runtime/definitions.ts'
import { sequenceOf, sequencePosition } from '../../workers/runtime/position.ts'
import { mostUnfinalized } from './finality.ts'
import { blockRecord } from './records.ts'
import type { Link, WholeBlock } from './rpc-types.ts'

type Message = Awaited<ReturnType<Journal<ChainBlock>['tail']>>[number]

/** A message for the journal. */
export interface Entry {
  readonly record: ChainBlock
  readonly stamp: Stamp
}

export interface ChainWindow {
  readonly chainId: number
  /** Position of the last message; 0 before the first. */
  readonly sequence: number
  /** Number of the newest final block. */
  readonly finalized: number
  /** Linked blocks, oldest first: the newest final one that the log holds, then all that are not final. */
  readonly blocks: readonly Link[]
  /** How often each hash was removed. */
  readonly removals: ReadonlyMap<string, number>
}

/** The origin of a chain's blocks, which is also the name of its feed. */
export const originOf = (chainId: number): string => `evm:${chainId}`

/** Reads the window from the end of the journal; without blocks where the journal is empty. */
export async function loadWindow(journal: Journal<ChainBlock>, chainId: number): Promise<ChainWindow> {
  const messages = await readUntil(journal, (records) => {
    const finalized = records.at(-1)?.finalized ?? 0
    return records.some((record) => record.block <= finalized)
  })
  const last = messages.at(-1)
  const finalized = last?.record.finalized ?? 0
  const removals = new Map<string, number>()
  for (const { record } of messages) {
    if (record.removed) removals.set(record.blockHash, record.revision + 1)
  }
  const blocks = standing(messages).map(({ block, blockHash, parentHash }): Link => {
    return { number: block, hash: blockHash, parentHash }
  })
  return trim({ chainId, sequence: sequenceOf(last?.position ?? '0'), finalized, blocks, removals })
}

/**
 * Reads the newest `count` standing blocks whole, newest first: what a reorganisation takes back.
 * @returns undefined where the journal is no longer as the window has it
 */
export async function readStanding(
  journal: Journal<ChainBlock>,
  window: ChainWindow,
  count: number,
): Promise<readonly ChainBlock[] | undefined> {
  const messages = await readUntil(journal, (records) => records.length >= count)
  const records = standing(messages).slice(-count).toReversed()
  const same = sequenceOf(messages.at(-1)?.position ?? '0') === window.sequence && records.length === count
  return same ? records : undefined
}

/** Takes the newest block out: the window without it, and the message that says so. */
export function removeTip(window: ChainWindow, record: ChainBlock): { window: ChainWindow; entry: Entry } {
  const { finalized } = window
  const next: ChainWindow = {
    ...window,
    sequence: window.sequence + 1,
    blocks: window.blocks.slice(0, -1),
    removals: new Map(window.removals).set(record.blockHash, record.revision + 1),
  }
  const stamp = stampOf(next, record.blockHash, record.parentHash)
  return { window: next, entry: { record: { ...record, finalized, removed: true }, stamp } }
}

/**
 * Adds a block that follows the tip: the window with it, and its message.
 * @param final newest final block as the chain has it; the record never claims more than its own number
 * @param receivedAt when the connector read it
 */
export function addBlock(
  window: ChainWindow,
  whole: WholeBlock,
  final: number,
  receivedAt: Micros,
): { window: ChainWindow; entry: Entry } {
  const link: Link = { number: Number(whole.block.number), hash: whole.block.hash, parentHash: whole.block.parentHash }
  // A gap is filled under a head far above; a head that a node made up must not move finality for good.
  const finalized = Math.max(window.finalized, link.number - mostUnfinalized, Math.min(final, link.number))
  const revision = window.removals.get(link.hash) ?? 0
  const next = trim({
    ...window,
    sequence: window.sequence + 1,
    finalized,
    blocks: [...window.blocks, link],
  })
  const record = blockRecord(window.chainId, whole, { finalized, revision, receivedAt })
  return { window: next, entry: { record, stamp: stampOf(next, link.parentHash, link.hash) } }
}

function stampOf(window: ChainWindow, extended: string, tip: string): Stamp {
  const position = sequencePosition(window.sequence)
  return { origin: originOf(window.chainId), position, link: { extends: extended, tip } }
}

/** Drops what lies below the newest final block. */
function trim(window: ChainWindow): ChainWindow {
  const first = Math.max(
    0,
    window.blocks.findLastIndex(({ number }) => number <= window.finalized),
  )
  return first === 0 ? window : { ...window, blocks: window.blocks.slice(first) }
}

/** Blocks that were added and not removed, oldest first. Removals of what was added before the first message are known to the log alone. */
function standing(messages: readonly Message[]): ChainBlock[] {
  const stack: ChainBlock[] = []
  for (const { record } of messages) {
    if (record.removed) stack.pop()
    else stack.push(record)
  }
  return stack
}

/** Reads further back until what stands is enough, or the journal has no more. */
async function readUntil(
  journal: Journal<ChainBlock>,
  enough: (records: readonly ChainBlock[]) => boolean,
): Promise<readonly Message[]> {
  for (let limit = mostUnfinalized / 4; ; limit *= 2) {
    const messages = await journal.tail(limit)
    if (messages.length < limit || enough(standing(messages))) return messages
  }
}
