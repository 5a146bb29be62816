/** What feeds the demo: a simulated exchange, a local chain, and receivers of its alerts. */
import { setTimeout as sleep } from 'node:timers/promises'
import { startChain, type Chain } from '../chain/chain.ts'
import { startExchange, type Exchange } from '../exchange/exchange.ts'
import { startReceivers, type Receivers } from '../receivers.ts'
import { seeded } from '../chain/random.ts'
import { demoSecrets } from './watch-file.ts'

export interface Feeds {
  readonly exchange: Exchange
  readonly chain: Chain
  readonly receivers: Receivers
  /** Begins the planted events; the market's take up to 40 s, the chain's 32 blocks. */
  arm(): void
  /** Lets planted events end, then stops trades and transactions. @returns when trading stopped, milliseconds */
  settle(): Promise<number>
  stop(): Promise<void>
}

const historyS = 600
const silenceS = 15

/** Starts all feeds side by side. */
export async function startFeeds(seed: number, tradesPerSecond: number): Promise<Feeds> {
  const random = seeded(`demo ${seed}`)
  const plants = { flashCrashAtS: random.int(5, 20), silenceAtS: random.int(4, 18), silenceS }
  const receivers = await startReceivers({ token: demoSecrets.telegramToken, secret: demoSecrets.webhookSecret })
  const [exchange, chain] = await Promise.all([
    startExchange({ seed, tradesPerSecond, historyS, plants }),
    startChain({ seed, beforeReorg: (tx) => alertGone(receivers, tx) }),
  ])
  const armedUntil = (plants.silenceAtS + silenceS + 2) * 1_000
  let armedAt = Infinity
  return {
    exchange,
    chain,
    receivers,
    arm() {
      armedAt = Date.now()
      exchange.arm()
      chain.arm()
    },
    async settle() {
      await sleep(Math.max(0, armedAt + armedUntil - Date.now()))
      exchange.pause('trades')
      const pausedAt = Date.now()
      await chain.settle()
      return pausedAt
    },
    async stop() {
      await Promise.all([exchange.stop(), chain.stop(), receivers.stop()])
    },
  }
}

/** Resolves when an alert that names the transaction has reached a receiver, so that there is something to retract. */
async function alertGone(receivers: Receivers, tx: string): Promise<void> {
  while (!receivers.received().some((message) => JSON.stringify(message).includes(tx))) await sleep(50)
}
