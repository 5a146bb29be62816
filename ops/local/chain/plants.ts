/** Carries out a plan's events block by block and keeps what really came of them. */
import type { Address, Hash } from 'viem'
import type { Mined, Request } from './blocks.ts'
import type { ChainClient } from './client.ts'
import { abi, amountOut, type Pool } from './contracts.ts'
import { type LedgerRecord, readRecords } from './ledger.ts'
import type { EventName, Pattern } from './events.ts'
import type { Plan, PlannedEvent } from './plan.ts'
import { swap, transfer, transferFrom } from './transactions.ts'

/** An event that has happened, in the words of the detectors; of a decoy it says what must not be found. */
export interface Truth {
  readonly name: EventName
  readonly what: Pattern | 'reorg'
  readonly expected: {
    readonly pattern: Pattern
    /** chainId:token, chainId:pool or chainId:victim. */
    readonly subject: string
    readonly wallets: readonly Address[]
    readonly transactions: readonly Hash[]
    /** Ids of the transfers, or for a sandwich the swaps, that it rests on. */
    readonly records: readonly string[]
  }
  /** Block of its last transaction. */
  readonly atBlock: number
  /** Time of that block, microseconds since the epoch. */
  readonly ts: number
  /** Where the match must be retracted: its transaction is on the chain no more. */
  readonly removed?: { readonly depth: number; readonly tx: Hash; readonly blocks: readonly Hash[] }
}

export interface Plants {
  /** Events' transactions of the block that is next, in their order. */
  requests(): Promise<readonly Request[]>
  /** Takes note of that block. */
  mined(block: Mined): Promise<void>
  /** Where a reorganisation is due before the next block. */
  reorganisation(): { readonly depth: number; readonly without: readonly Address[]; readonly tx: Hash } | undefined
  reorganised(removed: readonly Mined[]): void
  done(): boolean
  planted(): readonly Truth[]
  decoys(): readonly Truth[]
}

interface Progress {
  readonly event: PlannedEvent
  transactions: Hash[]
  records: string[]
  truth?: Truth
}

/** Starts a plan with the next block. @throws Error where an event's transaction failed on the chain */
export function plantsOf(plan: Plan, client: ChainClient): Plants {
  const all: Progress[] = plan.events.map((event) => ({ event, transactions: [], records: [] }))
  let now = 0
  const due = () =>
    all.flatMap((progress) => {
      const steps = progress.event.steps.filter((step) => progress.event.start + step.block === now)
      return steps.length > 0 ? [{ progress, steps }] : []
    })
  const removal = (): Progress | undefined =>
    all.find(({ event, truth }) => truth && !truth.removed && event.start + (event.removedAt ?? NaN) === now)
  const truths = (decoy: boolean): Truth[] =>
    all.flatMap(({ event, truth }) => (truth && event.decoy === decoy && isComplete(event, truth) ? [truth] : []))

  return {
    requests: async () =>
      (await Promise.all(due().map(({ progress }) => requestsOf(progress.event, now, client)))).flat(),
    async mined(block) {
      const happened = due()
      const records = happened.length > 0 ? await readRecords(client, plan.chainId, block.hash) : []
      let next = 0
      for (const { progress, steps } of happened) {
        const own = block.transactions.slice(next, (next += steps.length)).map(({ hash }) => hash)
        progress.transactions.push(...own)
        progress.records.push(...own.map((hash) => recordOf(records, hash, progress.event)))
        if (progress.transactions.length === progress.event.steps.length) progress.truth = truthOf(progress, block)
      }
      now++
    },
    reorganisation() {
      const { event, truth } = removal() ?? {}
      const [tx] = truth?.expected.transactions ?? []
      return event?.removedAt && tx ? { depth: event.removedAt, without: event.wallets, tx } : undefined
    },
    reorganised(blocks) {
      const progress = removal()
      const [tx] = progress?.transactions ?? []
      if (!progress?.truth || !tx) return
      progress.truth = {
        ...progress.truth,
        removed: { depth: blocks.length, tx, blocks: blocks.map(({ hash }) => hash) },
      }
    },
    done: () => now >= plan.blocks,
    planted: () => truths(false),
    decoys: () => truths(true),
  }
}

/** A planned removal is told only when it has happened. */
function isComplete(event: PlannedEvent, truth: Truth): boolean {
  return event.removedAt === undefined || truth.removed !== undefined
}

async function requestsOf(event: PlannedEvent, now: number, client: ChainClient): Promise<Request[]> {
  const requests: Request[] = []
  let received: bigint | undefined
  for (const { block, account, action } of event.steps) {
    if (event.start + block !== now) continue
    if (action.kind === 'transfer') requests.push(transfer(account, action.token, action.to, action.amount))
    if (action.kind === 'transfer-from') {
      requests.push(transferFrom(account, action.token, action.owner, action.to, action.amount))
    }
    if (action.kind !== 'swap') continue
    const { pool, tokenIn } = action
    const amount = action.amount === 'received' ? (received ?? 0n) : action.amount
    received ??= amountOut(amount, ...(await reserves(client, pool, tokenIn === pool.token0)))
    requests.push(swap(account, pool, tokenIn, amount))
  }
  return requests
}

/** Of the token that goes in and of the one that comes out; nobody swaps in the block before the event's own swaps. */
async function reserves(client: ChainClient, pool: Pool, zeroForOne: boolean): Promise<[bigint, bigint]> {
  const [reserve0, reserve1] = await client.readContract({ abi, address: pool.address, functionName: 'getReserves' })
  return zeroForOne ? [reserve0, reserve1] : [reserve1, reserve0]
}

function recordOf(records: readonly LedgerRecord[], hash: Hash, event: PlannedEvent): string {
  const found = records.find(({ kind, transaction }) => {
    const wanted = event.pattern === 'sandwich' ? kind === 'swaps' : kind !== 'transactions'
    return wanted && transaction === hash
  })
  if (found === undefined) throw new Error(`${event.name}: transaction ${hash} failed on the chain`)
  return found.id
}

function truthOf({ event, transactions, records }: Progress, block: Mined): Truth {
  const { name, pattern, subject, wallets, removedAt } = event
  const expected = { pattern, subject, wallets, transactions, records }
  return {
    name,
    what: removedAt === undefined ? pattern : 'reorg',
    expected,
    atBlock: block.number,
    ts: block.ts * 1_000_000,
  }
}
