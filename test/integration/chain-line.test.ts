/** The chain's line: journal, removals and retraction on real servers, while blocks are reorganised and each process is killed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkActivity, checkChain } from '../../ops/local/demo/checks.ts'
import { startChain, type Chain } from '../../ops/local/chain/chain.ts'
import { startTestPipeline, type TestPipeline } from '../support/pipeline.ts'
import { eventually } from '../support/servers.ts'

const groups = [
  { name: 'connectors', steps: ['evm'] },
  {
    name: 'processors',
    steps: [
      'decode-block',
      'score-wallet-risk',
      'detect-whale-transfers',
      'detect-wash-rings',
      'detect-sandwiches',
      'detect-address-poisoning',
      'evaluate-alerts',
    ],
  },
  {
    name: 'sinks',
    steps: [
      'timescale-blocks',
      'timescale-transactions',
      'timescale-transfers',
      'timescale-swaps',
      'timescale-wallet-activity',
      'timescale-patterns',
      'timescale-alerts',
    ],
  },
  { name: 'alerts', steps: ['alert-outbox'] },
]
const patterns = ['whale-transfer', 'sandwich', 'wash-ring', 'address-poisoning']
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe('chain line', () => {
  let chain: Chain
  let pipeline: TestPipeline

  beforeAll(async () => {
    chain = await startChain({ seed: 11, blockTimeS: 0.5 })
    pipeline = await startTestPipeline({
      groups,
      watch: {
        chains: [chain.watch],
        alerts: patterns.map((pattern) => ({
          name: pattern,
          topic: 'patterns.matches.v1',
          where: [{ field: 'pattern', is: pattern }],
          severity: 'critical',
          title: '{summary}',
          channels: ['hook'],
        })),
        // Nobody listens: the outbox keeps what is to be sent.
        channels: { hook: { kind: 'webhook', url: 'http://127.0.0.1:9/', secretFrom: 'HOOK_SECRET' } },
      },
      env: { EVM_RPC_URLS: `${chain.chainId}=${chain.url}`, HOOK_SECRET: 'whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0' },
    })
  }, 180_000)
  afterAll(async () => {
    await chain?.stop()
    await pipeline?.stop()
  }, 60_000)

  it('holds the canonical chain and what follows from it, and nothing else', { timeout: 240_000 }, async () => {
    chain.arm()
    for (const [turn, { name }] of groups.entries()) {
      await pause(1_200)
      await Promise.all([pipeline.workers.kill(name), chain.reorg(turn + 1)])
      await pause(1_200)
      await chain.reorg(2 * turn + 1)
    }
    await chain.settle()
    await eventually(() => expect(pipeline.workers.restarts()).toBe(groups.length))
    // Nothing may wait while the connector is only about to fetch.
    await eventually(async () => expect(await checkChain(chain, pipeline.tables)).toMatchObject({ ok: true }), { timeoutMs: 120_000 }) // prettier-ignore
    await pipeline.settled(120_000)
    expect(await checkChain(chain, pipeline.tables)).toMatchObject({ ok: true })
    expect(await checkActivity(pipeline.tables)).toMatchObject({ ok: true })
    await expectMatchesOfTheChain(chain, pipeline)
    await expectAlertsOfMatches(pipeline)
  })
})

/** Every match rests on transfers and swaps that the canonical chain holds. */
async function expectMatchesOfTheChain(chain: Chain, { tables }: TestPipeline): Promise<void> {
  const { erc20Transfers, nativeTransfers, swaps } = await chain.canonical()
  const canonical = new Set([...erc20Transfers, ...nativeTransfers, ...swaps])
  const matches = await tables.query<{ id: string; pattern: string; evidence: string[] }>(
    'SELECT id, pattern, evidence FROM pattern_matches',
  )
  const orphaned = matches.filter(({ evidence }) => evidence.some((id) => !canonical.has(id.replace(/:(in|out)$/, ''))))
  expect(orphaned).toEqual([])
  const removed = chain.planted().filter((truth) => truth.removed !== undefined)
  expect(removed.length).toBeGreaterThan(0)
  expect(new Set(matches.map(({ pattern }) => pattern)).size).toBeGreaterThan(1)
}

/** What stands in the alerts' table are the alerts of the matches that stand; the outbox retracts nothing that stands. */
async function expectAlertsOfMatches({ tables }: TestPipeline): Promise<void> {
  const matches = await tables.query<{ id: string; pattern: string }>('SELECT id, pattern FROM pattern_matches')
  const expected = matches.map(({ id, pattern }) => `${pattern}:${id}`).toSorted()
  const alerts = await tables.query<{ id: string }>('SELECT id FROM alerts')
  expect(alerts.map(({ id }) => id).toSorted()).toEqual(expected)
  const open = await tables.query<{ alert_id: string }>(
    `SELECT alert_id FROM alert_outbox o WHERE NOT removed AND status <> 'cancelled' AND NOT EXISTS (
       SELECT FROM alert_outbox r WHERE r.removed AND (r.alert_id, r.revision, r.channel) = (o.alert_id, o.revision, o.channel))`,
  )
  expect(open.map(({ alert_id }) => alert_id).toSorted()).toEqual(expected)
}
