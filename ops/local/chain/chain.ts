/** A local EVM chain with seeded traders and planted events whose truth is known. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Hash } from 'viem'
import { startAnvil } from './anvil.ts'
import { type Blocks, blocksOn, type Mined } from './blocks.ts'
import { type ChainClient, connectTo } from './client.ts'
import { prepare } from './genesis.ts'
import { type Ledger, readLedger } from './ledger.ts'
import { type Plan, planOf, type Starts } from './plan.ts'
import { type Plants, plantsOf, type Truth } from './plants.ts'
import { seeded } from './random.ts'
import { tradersOf } from './traders.ts'
import { chainWatch, type ChainWatch } from './watch.ts'

export interface ChainOptions {
  readonly seed: number
  /** Default 1; below a second the blocks' times run ahead of the clock, since they are whole seconds. */
  readonly blockTimeS?: number
  /** Background transactions of a block, from and to; default 5 to 15. */
  readonly transactionsPerBlock?: readonly [min: number, max: number]
  /** False plants nothing; the names of events with their first block after `arm()` fix these. Default true. */
  readonly plants?: boolean | Starts
  readonly chainId?: number
  readonly port?: number
  /**
   * Called before the planned reorganisation with the transaction that it will remove; the chain waits for it, at most
   * 15 s, so that an alert can go out first.
   */
  readonly beforeReorg?: (tx: Hash) => Promise<unknown>
}

export interface Chain {
  readonly url: string
  readonly wsUrl: string
  readonly chainId: number
  readonly pid: number
  readonly watch: ChainWatch
  readonly plan: Plan
  /** Rejects when the chain can go on no more. */
  readonly failed: Promise<never>
  /** Begins the planned events with the next block; they take 32 blocks. */
  arm(): void
  /** No more background transactions; blocks and planned events go on. */
  pause(): void
  resume(): void
  /** Lets the armed events end, pauses, mines a few empty blocks so that everything closes, stops mining; gives the head. */
  settle(emptyBlocks?: number): Promise<Mined>
  /**
   * Replaces the newest blocks; `without` names senders whose transactions in them are gone afterwards. Gives the removed
   * ones. An event that has happened in them stays on the chain, but in another block than its truth says.
   */
  reorg(depth: number, without?: readonly `0x${string}`[]): Promise<readonly Mined[]>
  planted(): readonly Truth[]
  decoys(): readonly Truth[]
  canonical(fromBlock?: number): Promise<Ledger>
  stop(): Promise<void>
}

const longestHoldMs = 15_000
/** The blocks before the first block of the traders are dated before the clock, not after it. */
const genesisAgeS = 10

/** Starts the node, makes the first state and begins to mine. @throws Error as startAnvil, or where the first state fails */
export async function startChain(options: ChainOptions): Promise<Chain> {
  const { seed, blockTimeS = 1, chainId = 31_337, port = 0, plants: wanted = true } = options
  const plan = planOf(seed, chainId, typeof wanted === 'object' ? wanted : {})
  const anvil = await startAnvil({ port, chainId, genesisS: Math.floor(Date.now() / 1_000) - genesisAgeS })
  try {
    const client = connectTo(anvil.url)
    const blocks = blocksOn(client, chainId, await readTip(client))
    await prepare(client, blocks, plan)
    const producer = produce(client, blocksOn(client, chainId, blocks.tip()), plan, options)
    return {
      ...anvil,
      ...producer,
      watch: chainWatch(plan, blockTimeS),
      plan,
      arm: () => (wanted === false ? undefined : producer.arm()),
      canonical: (fromBlock) => readLedger(client, chainId, fromBlock),
      async stop() {
        await producer.stop()
        await anvil.stop()
      },
    }
  } catch (error) {
    await anvil.stop()
    throw error
  }
}

async function readTip(client: ChainClient): Promise<Mined> {
  const { number, hash, timestamp, miner, baseFeePerGas } = await client.getBlock()
  return { number: Number(number), hash, ts: Number(timestamp), miner, baseFee: baseFeePerGas ?? 0n, transactions: [] }
}

type Producer = Pick<Chain, 'failed' | 'arm' | 'pause' | 'resume' | 'settle' | 'reorg' | 'planted' | 'decoys' | 'stop'>

/** Mines a block at each multiple of the block time. One thing happens at a time: a block or a reorganisation. */
function produce(client: ChainClient, blocks: Blocks, plan: Plan, options: ChainOptions): Producer {
  const { blockTimeS = 1, transactionsPerBlock: [min, max] = [5, 15], beforeReorg } = options
  const random = seeded(`blocks ${plan.seed}`)
  const traders = tradersOf(plan)
  const ended = new AbortController()
  let plants: Plants | undefined
  let trading = true
  let turn: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(action: () => Promise<T>): Promise<T> => {
    const result = turn.then(action)
    turn = result.catch(() => undefined)
    return result
  }

  const reorganiseIfDue = async (): Promise<void> => {
    const due = plants?.reorganisation()
    if (due === undefined) return
    const longest = sleep(longestHoldMs, undefined, { signal: ended.signal, ref: false }).catch(() => undefined)
    await Promise.race([beforeReorg?.(due.tx), longest])
    plants?.reorganised(await blocks.reorganise(due.depth, due.without))
  }
  const nextBlock = async (): Promise<void> => {
    await reorganiseIfDue()
    const current = plants
    const planned = (await current?.requests()) ?? []
    const background = trading ? traders(random.int(min, max)) : []
    const block = await blocks.mine([...planned, ...background], Math.floor(Date.now() / 1_000))
    await current?.mined(block)
  }
  const running = eachSlot(blockTimeS * 1_000, ended.signal, () => inTurn(nextBlock))
  const failed = running.then(() => new Promise<never>(() => undefined))
  failed.catch(() => undefined)
  const reaches = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await Promise.race([failed, sleep(10)])
  }

  return {
    failed,
    arm: () => void (plants ??= plantsOf(plan, client)),
    pause: () => void (trading = false),
    resume: () => void (trading = true),
    async settle(emptyBlocks = 3) {
      await reaches(() => plants?.done() ?? true)
      trading = false
      const last = blocks.tip().number + emptyBlocks
      await reaches(() => blocks.tip().number >= last)
      ended.abort()
      await running
      return blocks.tip()
    },
    reorg: (depth, without = []) => inTurn(() => blocks.reorganise(depth, without)),
    planted: () => plants?.planted() ?? [],
    decoys: () => plants?.decoys() ?? [],
    async stop() {
      ended.abort()
      await running.catch(() => undefined)
    },
  }
}

/** Acts at each multiple of the period on the clock, and leaves out those that pass meanwhile. */
async function eachSlot(periodMs: number, signal: AbortSignal, act: () => Promise<void>): Promise<void> {
  for (let slot = 0; !signal.aborted;) {
    // A timer may come a little early: the same slot must not be taken twice.
    slot = Math.max(slot, Math.floor(Date.now() / periodMs)) + 1
    await sleep(slot * periodMs - Date.now(), undefined, { signal }).catch(() => undefined)
    if (!signal.aborted) await act()
  }
}
