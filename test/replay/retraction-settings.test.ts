/** Whatever the watch file says from one restart to the next: what was told is taken back as it was told, and nothing else is. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { topics } from '../../schemas/topics.ts'
import { decodeBlock } from '../../workers/decode-block.ts'
import { detectAddressPoisoning } from '../../workers/detect-address-poisoning.ts'
import { detectSandwiches } from '../../workers/detect-sandwiches.ts'
import { detectWashRings } from '../../workers/detect-wash-rings.ts'
import { detectWhaleTransfers } from '../../workers/detect-whale-transfers.ts'
import { evaluateAlerts } from '../../workers/evaluate-alerts.ts'
import type { Processor, Topic } from '../../workers/runtime/definitions.ts'
import { WatchSchema, type Watch } from '../../workers/runtime/watch.ts'
import { scoreWalletRisk } from '../../workers/score-wallet-risk.ts'
import { createDriver, type Driver } from '../support/driver.ts'
import type { Cut } from '../support/driver-slot.ts'
import type { Derived } from './comparison.ts'
import { closing, makeHistory, type Entry } from './history.ts'
import { madeUpWatch } from './made-up-chain.ts'

const steps: readonly Processor[] = [decodeBlock, detectWhaleTransfers, detectWashRings, detectSandwiches, detectAddressPoisoning, scoreWalletRisk, evaluateAlerts] // prettier-ignore
const { chainTransactions, chainTransfers, chainSwaps, chainLogs, walletsActivity, patternsMatches, riskWallets, alertsFired } = topics // prettier-ignore
const written: readonly Topic<Derived>[] = [chainTransactions, chainTransfers, chainSwaps, chainLogs, walletsActivity, patternsMatches, riskWallets, alertsFired] // prettier-ignore

/** What people change in a watch file. */
const changes: readonly ((watch: Watch) => Watch)[] = [
  (watch) => watch,
  (watch) => ({ ...watch, detection: { ...watch.detection, whaleTransfer: { minUsd: 50_000 } } }),
  (watch) => ({ ...watch, detection: { ...watch.detection, whaleTransfer: { minUsd: 2_500_000 } } }),
  (watch) => ({ ...watch, detection: { ...watch.detection, sandwich: { minVictims: 2 } } }),
  (watch) => ({ ...watch, detection: { ...watch.detection, washRing: { ...watch.detection.washRing, rounds: 1 } } }),
  (watch) => ({ ...watch, chains: watch.chains.map((chain) => ({ ...chain, contracts: [] })) }),
  (watch) => ({ ...watch, chains: watch.chains.map((chain) => ({ ...chain, tokens: chain.tokens.slice(1), wallets: [] })) }), // prettier-ignore
  (watch) => ({ ...watch, alerts: watch.alerts.slice(0, 1) }),
  (watch) => ({ ...watch, alerts: watch.alerts.map((rule) => ({ ...rule, title: `${rule.name}: {id}`, every: 0 })) }),
]

/** What stands at the end, by topic. @throws Error where anything is told twice, or taken back otherwise than it was told */
function standingOf(driver: Driver): Map<Topic, Map<string, Derived>> {
  return new Map(
    written.map((topic) => {
      const standing = new Map<string, Derived>()
      for (const record of driver.read(topic)) {
        const told = standing.get(record.id)
        const { finalized } = record
        const expected = record.removed ? JSON.stringify({ ...told, finalized, removed: true }) : undefined
        if (told === undefined ? record.removed : JSON.stringify(record) !== expected)
          throw new Error(`${topic.name} told ${JSON.stringify(told)}, and now ${JSON.stringify(record)}`)
        if (record.removed) standing.delete(record.id)
        else standing.set(record.id, record)
      }
      return [topic, standing]
    }),
  )
}

interface Plan {
  readonly seed: number
  readonly finality: number
  /** Before which entry (a percentage of all) the watch file changes how. */
  readonly changes: readonly { readonly at: number; readonly change: number }[]
}

/** Feeds a history, with the changes of the watch file where they are due, and what may happen to a slot besides. */
function run(entries: readonly Entry[], plan: Plan, cut: (index: number) => Cut | undefined): Driver {
  const watch = WatchSchema.parse(madeUpWatch)
  const driver = createDriver({ steps, watch })
  for (const [index, { record, place }] of entries.entries()) {
    for (const { at, change } of plan.changes)
      if (Math.floor((at * entries.length) / 100) === index)
        driver.restart({ watch: changes[change]?.(watch) ?? watch })
    const now = cut(index)
    if (now !== undefined) driver.cut(now)
    driver.send(topics.chainBlocks, record, place)
  }
  return driver
}

/** What happens to the slots of the other run, again and again. */
const cuts: readonly (Cut | undefined)[] = ['restart', 'checkpoint', undefined, undefined, 'checkpoint']

const Plans: fc.Arbitrary<Plan> = fc.record({
  seed: fc.nat(1_000_000),
  finality: fc.constantFrom(0, 4, 12),
  changes: fc.array(fc.record({ at: fc.integer({ min: 2, max: 98 }), change: fc.nat(changes.length - 1) }), {
    minLength: 1,
    maxLength: 6,
  }),
})

describe('a history of forks under a watch file that changes', () => {
  it('leaves nothing of removed blocks, takes back what was told, and is the same wherever it is stored (30 histories)', () => {
    let [removals, differing] = [0, 0]
    const holds = (plan: Plan): void => {
      const { entries, canonical } = makeHistory({ ...plan, depth: 10, forks: 5 })
      const all = [...entries, ...closing(canonical, plan.finality, entries.length)]
      const driver = run(all, plan, () => undefined)
      const often = run(all, plan, (index) => cuts[(index + plan.seed) % 11])
      for (const topic of written) expect(often.bytes(topic), topic.name).toEqual(driver.bytes(topic))
      const standing = standingOf(driver)
      const known = new Set(canonical.map(({ record }) => record.blockHash))
      const orphans = entries.flatMap(({ record }) => (known.has(record.blockHash) ? [] : [record.blockHash]))
      for (const [topic, records] of standing) {
        const text = JSON.stringify([...records.values()])
        for (const orphan of new Set(orphans)) expect(text.includes(orphan), `${topic.name} ${orphan}`).toBe(false)
      }
      for (const { sourceTopic, sourceId } of driver.standing(alertsFired)) {
        const source = written.find(({ name }) => name === sourceTopic)
        expect(source && standing.get(source)?.has(sourceId), `${sourceTopic} ${sourceId}`).toBe(true)
      }
      expect(driver.faults).toEqual([])
      const findings = [patternsMatches, riskWallets, alertsFired].flatMap((topic: Topic<Derived>) =>
        driver.read(topic),
      )
      removals += findings.filter(({ removed }) => removed).length
      differing += Number(steps.some((step) => [...driver.state(step).keys()].some((name) => name.includes(' v:'))))
      if (plan.finality > 0) for (const step of steps) expect([...driver.state(step).keys()].join()).not.toMatch(/ i:/)
    }
    fc.assert(fc.property(Plans, holds), { numRuns: 30, seed: 7, endOnFailure: true })
    expect(removals).toBeGreaterThan(300)
    expect(differing).toBeGreaterThan(10)
  }, 180_000)
})
