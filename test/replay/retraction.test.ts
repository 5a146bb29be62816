/** Whatever reorganisations a chain went through, state and standing outputs are those of the canonical chain alone. */
import { describe, expect, it } from 'vitest'
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
import { standingOf, stateOf, type Derived } from './comparison.ts'
import { closing, makeHistory, type Entry } from './history.ts'
import { madeUpWatch } from './made-up-chain.ts'

const chainSteps = [decodeBlock, detectWhaleTransfers, detectWashRings, detectSandwiches, detectAddressPoisoning, scoreWalletRisk] // prettier-ignore
const steps = [...chainSteps, detectPriceShocks, evaluateAlerts]
const { chainTransactions, chainTransfers, chainSwaps, chainLogs, walletsActivity, patternsMatches, riskWallets, alertsFired } = topics // prettier-ignore
const findings: readonly Topic<Derived>[] = [patternsMatches, riskWallets, alertsFired]
const written: readonly Topic<Derived>[] = [chainTransactions, chainTransfers, chainSwaps, chainLogs, walletsActivity, ...findings] // prettier-ignore

/** Feeds a history; before each entry `between` may do something else. */
function feed(driver: Driver, entries: readonly Entry[], between: (index: number) => void = () => {}): Driver {
  for (const [index, { record, place }] of entries.entries()) {
    between(index)
    driver.send(topics.chainBlocks, record, place)
  }
  return driver
}

const open = (): Driver => createDriver({ steps, watch: madeUpWatch })

/** A jump of the price every now and then; markets know nothing of forks. */
function sendTrade(driver: Driver, index: number): void {
  const price = index % 7 === 0 ? 103 : 100
  driver.send(topics.marketTrades, trade(index, noon + index * second, price), { origin: 'binance-spot' })
}

function expectSame(forked: Driver, straight: Driver, seed: string, alerts: boolean): void {
  for (const step of alerts ? [...chainSteps, evaluateAlerts] : chainSteps)
    expect(stateOf(forked, step), `state of ${step.name}, ${seed}`).toEqual(stateOf(straight, step))
  for (const topic of written) expect(standingOf(forked, topic), seed).toEqual(standingOf(straight, topic))
}

const half = (seed: number, salt: string): (() => boolean) => {
  const random = seeded(`${salt} ${seed}`)
  return () => random.next() < 0.5
}

/** @returns how deep it went, and what followed and was taken back */
function compare(seed: number, finality: number, depth: number, disturbance: 'none' | 'restarts' | 'markets') {
  const { entries, canonical, deepest } = makeHistory({ seed, finality, depth, forks: depth > 20 ? 3 : 6 })
  const [forked, straight] = [open(), open()]
  const word = `seed ${seed}, finality ${finality}`
  const coin = half(seed, 'cuts')
  const cuts = disturbance === 'none' ? undefined : () => (coin() ? forked.cut(coin() ? 'checkpoint' : 'restart') : undefined) // prettier-ignore
  let trades = 0
  feed(forked, entries, (index) => {
    if (disturbance === 'markets' && index % 3 === 0) sendTrade(forked, ++trades)
    cuts?.()
  })
  for (let index = 1; index <= trades; index++) sendTrade(straight, index)
  feed(straight, canonical)
  expectSame(forked, straight, word, finality === 0 && disturbance !== 'markets')
  if (finality > 0) {
    feed(forked, closing(canonical, finality, entries.length), cuts)
    feed(straight, closing(canonical, finality, canonical.length))
    expectSame(forked, straight, `${word}, all final`, true)
    for (const step of steps) for (const name of forked.state(step).keys()) expect(name).not.toMatch(/ i:/)
  }
  const removals = findings.flatMap((topic) => forked.read(topic)).filter(({ removed }) => removed).length
  return { deepest, removals, standing: standingOf(straight, alertsFired).length }
}

const seeds = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index)

describe('a history of forks leaves what the canonical chain alone leaves', () => {
  it('without finality, at depths up to 64 (60 histories)', () => {
    const runs = seeds(1, 60).map((seed) => compare(seed, 0, seed % 3 === 0 ? 64 : 16, 'none'))
    expect(Math.max(...runs.map(({ deepest }) => deepest))).toBe(64)
    expect(runs.reduce((sum, { removals }) => sum + removals, 0)).toBeGreaterThan(1_000)
    expect(runs.every(({ standing }) => standing > 0)).toBe(true)
  }, 120_000)

  it('while finality moves (80 histories)', () => {
    for (const seed of seeds(1_001, 80)) compare(seed, seed % 4 === 0 ? 64 : 8, seed % 4 === 0 ? 64 : 8, 'none')
  }, 120_000)

  it('with checkpoints and restarts anywhere (80 histories)', () => {
    for (const seed of seeds(2_001, 80)) compare(seed, [0, 6, 20][seed % 3] ?? 0, 20, 'restarts')
  }, 120_000)

  it('with market records in between, checkpoints and restarts (80 histories)', () => {
    for (const seed of seeds(3_001, 80)) compare(seed, [0, 5, 12][seed % 3] ?? 0, 12, 'markets')
  }, 120_000)
})
