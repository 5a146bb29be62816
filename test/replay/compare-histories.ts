/** Runs a history of forks and its canonical chain through all chain steps and the alerts, and holds one to the other. */
import { expect } from 'vitest'
import { seeded } from '../../ops/local/chain/random.ts'
import { topics } from '../../schemas/topics.ts'
import { decodeBlock } from '../../workers/decode-block.ts'
import { detectAddressPoisoning } from '../../workers/detect-address-poisoning.ts'
import { detectPriceShocks } from '../../workers/detect-price-shocks.ts'
import { detectSandwiches } from '../../workers/detect-sandwiches.ts'
import { detectWashRings } from '../../workers/detect-wash-rings.ts'
import { detectWhaleTransfers } from '../../workers/detect-whale-transfers.ts'
import type { Topic } from '../../workers/runtime/definitions.ts'
import { evaluateAlerts } from '../../workers/evaluate-alerts.ts'
import { scoreWalletRisk } from '../../workers/score-wallet-risk.ts'
import { createDriver, type Driver } from '../support/driver.ts'
import { noon, second, trade } from '../workers/records.ts'
import { sequencePosition } from '../../workers/runtime/position.ts'
import { standingOf, stateOf, type Derived } from './comparison.ts'
import { closing, makeHistory, type Entry } from './history.ts'
import { madeUpWatch } from './made-up-chain.ts'

const chainSteps = [decodeBlock, detectWhaleTransfers, detectWashRings, detectSandwiches, detectAddressPoisoning, scoreWalletRisk] // prettier-ignore
const steps = [...chainSteps, detectPriceShocks, evaluateAlerts]
const { chainTransactions, chainTransfers, chainSwaps, chainLogs, walletsActivity, patternsMatches, riskWallets, alertsFired } = topics // prettier-ignore
const findings: readonly Topic<Derived>[] = [patternsMatches, riskWallets, alertsFired]
const written: readonly Topic<Derived>[] = [chainTransactions, chainTransfers, chainSwaps, chainLogs, walletsActivity, ...findings] // prettier-ignore

/** Feeds a history; before each entry `between` may do something else. */
export function feed(driver: Driver, entries: readonly Entry[], between: (index: number) => void = () => {}): Driver {
  for (const [index, { record, place }] of entries.entries()) {
    between(index)
    driver.send(topics.chainBlocks, record, place)
  }
  return driver
}

export const open = (): Driver => createDriver({ steps, watch: madeUpWatch })

/** A jump of the price every now and then; markets know nothing of forks. */
function sendTrade(driver: Driver, index: number): void {
  const price = index % 7 === 0 ? 103 : 100
  driver.send(topics.marketTrades, trade(index, noon + index * second, price), {
    origin: 'binance-spot',
    position: sequencePosition(index),
  })
}

export function expectSame(forked: Driver, straight: Driver, seed: string, alerts: boolean): void {
  for (const step of alerts ? [...chainSteps, evaluateAlerts] : chainSteps)
    expect(stateOf(forked, step), `state of ${step.name}, ${seed}`).toEqual(stateOf(straight, step))
  for (const topic of written) expect(standingOf(forked, topic), seed).toEqual(standingOf(straight, topic))
}

export interface Comparison {
  readonly seed: number
  readonly finality: number
  /** Deepest reorganisation. */
  readonly depth: number
  /** Whether slots are stored, cut off and opened again, and whether market records come in between. */
  readonly restarts?: true
  readonly markets?: true
}

/** @returns how deep it went, how many findings were taken back, and how many alerts stand */
export function compare({ seed, finality, depth, restarts, markets }: Comparison) {
  const { entries, canonical, deepest } = makeHistory({ seed, finality, depth, forks: depth > 20 ? 3 : 6 })
  const [forked, straight] = [open(), open()]
  const word = `seed ${seed}, finality ${finality}`
  const random = seeded(`cuts ${seed}`)
  let trades = 0
  const between = (index: number): void => {
    if (markets && index % 3 === 0) sendTrade(forked, ++trades)
    if (restarts && random.next() < 0.08) forked.cut(random.pick(['checkpoint', 'restart']))
  }
  feed(forked, entries, between)
  for (let index = 1; index <= trades; index++) sendTrade(straight, index)
  feed(straight, canonical)
  expectSame(forked, straight, word, finality === 0)
  if (finality > 0) {
    feed(forked, closing(canonical, finality, entries.length), between)
    for (let index = 1; index <= trades; index++) sendTrade(straight, index)
    feed(straight, closing(canonical, finality, canonical.length))
    expectSame(forked, straight, `${word}, all final`, true)
    for (const step of steps) for (const name of forked.state(step).keys()) expect(name).not.toMatch(/ i:/)
  }
  const removals = findings.flatMap((topic) => forked.read(topic)).filter(({ removed }) => removed).length
  return { deepest, removals, standing: standingOf(straight, alertsFired).length }
}
