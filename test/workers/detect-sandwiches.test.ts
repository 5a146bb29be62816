/** Sandwiches: the recorded ones, those of any attacker, and what only looks like one. */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { blockRecord } from '../../connectors/evm/records.ts'
import { topics } from '../../schemas/topics.ts'
import type { ChainSwap } from '../../schemas/types.ts'
import { decodeBlock } from '../../workers/decode-block.ts'
import { detectSandwiches } from '../../workers/detect-sandwiches.ts'
import { ethereumBlock } from '../connectors/evm/recordings.ts'
import { createDriver } from '../support/driver.ts'
import { swapsOf } from './mev-traces.ts'
import { address, noon, second, swap, watchOf } from './records.ts'

const origin = 'decode-block:chain.blocks.v1:0'
const [attacker, victim, other] = [address(0xa), address(0xb), address(0xc)]

function driverOf(swaps: readonly ChainSwap[], watch: object = watchOf()) {
  const driver = createDriver({ steps: [detectSandwiches], watch })
  for (const one of swaps) driver.append(topics.chainSwaps, one, { origin })
  driver.run()
  return driver
}
function matchesOf(swaps: readonly ChainSwap[], watch?: object) {
  const driver = driverOf(swaps, watch)
  driver.mark(topics.chainSwaps, '', origin, swaps.at(-1)?.ts ?? 0)
  return driver.read(topics.patternsMatches)
}
const buy = (index: number, trader: string, rest: Partial<ChainSwap> = {}): ChainSwap =>
  swap(1, index, { trader, amount0: '1000', amount1: '-2000', ...rest })
const sell = (index: number, trader: string, rest: Partial<ChainSwap> = {}): ChainSwap =>
  swap(1, index, { trader, amount0: '-1010', amount1: '2000', ...rest })

describe('detect-sandwiches', () => {
  it('finds an attacker around a victim when the block has passed', () => {
    const swaps = [buy(0, attacker), buy(1, victim), sell(2, attacker)]
    const driver = driverOf(swaps)
    expect(driver.read(topics.patternsMatches)).toEqual([])
    driver.mark(topics.chainSwaps, '', origin, noon + second)
    expect(driver.read(topics.patternsMatches)).toMatchObject([
      {
        pattern: 'sandwich',
        subject: `1:${address(0x9001)}`,
        ts: noon + second,
        block: 1,
        confidence: 1,
        wallets: [attacker, victim],
        evidence: swaps.map(({ id }) => id),
        facts: { attacker, victims: '1', profit: '10', frontTxHash: '0xt1-0', backTxHash: '0xt1-2' },
      },
    ])
  })

  it('finds one when the next block has begun, though it bears the same time', () => {
    const driver = driverOf([buy(0, attacker), buy(1, victim), sell(2, attacker)])
    driver.send(topics.chainSwaps, swap(2, 0, { ts: noon + second }), { origin })
    driver.mark(topics.chainSwaps, '', origin, noon + second)
    const again = [buy(0, attacker), buy(1, victim), sell(2, attacker)].map((one) => ({
      ...one,
      id: `${one.id}+`,
      block: 3,
    }))
    for (const one of again) driver.append(topics.chainSwaps, one, { origin })
    driver.mark(topics.chainSwaps, '', origin, noon + 3 * second)
    expect(driver.read(topics.patternsMatches)).toHaveLength(2)
  })

  it('finds two in one block, each swap in one of them', () => {
    const two = [buy(0, attacker), buy(1, victim), sell(2, attacker), sell(3, other), sell(4, victim), buy(5, other)]
    expect(matchesOf(two).map(({ facts }) => facts['attacker'])).toEqual([attacker, other])
  })

  it('counts victims, as many as the watch file asks for', () => {
    const swaps = [buy(0, attacker), buy(1, victim), sell(2, other), buy(3, other), sell(4, attacker)]
    expect(matchesOf(swaps)[0]?.facts).toMatchObject({ victims: '2' })
    const watch = (minVictims: number) => watchOf({}, { detection: { sandwich: { minVictims } } })
    expect(matchesOf(swaps, watch(2))).toHaveLength(1)
    expect(matchesOf(swaps, watch(3))).toEqual([])
  })

  it('sees through two senders of one private contract, not of a router', () => {
    const own = { sender: address(0x77) }
    expect(matchesOf([buy(0, attacker, own), buy(1, victim), sell(2, other, own)])[0]?.wallets).toEqual([
      attacker,
      other,
      victim,
    ])
    expect(matchesOf([buy(0, attacker), buy(1, victim), sell(2, other)])).toEqual([])
  })

  it('passes over what is none', () => {
    const nones = [
      [buy(0, attacker), sell(1, attacker)],
      [buy(0, attacker), sell(1, victim), sell(2, attacker)],
      [buy(0, attacker), buy(1, victim), sell(2, attacker, { amount1: '1000' })],
      [buy(0, attacker), buy(1, victim), buy(2, attacker)],
      [buy(0, attacker), buy(1, attacker), sell(2, attacker)],
      [buy(0, attacker), buy(1, victim), { ...sell(0, attacker), id: 'x', logIndex: 9 }],
      [buy(0, attacker), buy(1, victim), { ...sell(2, attacker), block: 2, ts: noon + 2 * second }],
      [buy(0, attacker), { ...buy(1, victim), pool: address(0x9002) }, sell(2, attacker)],
    ]
    for (const swaps of nones) expect(matchesOf(swaps)).toEqual([])
  })

  const folder = '../shared/fixtures/chain/mev'
  describe.skipIf(!existsSync(folder))('on recorded blocks (needs ../shared/fixtures)', () => {
    it('finds the one sandwich of block 12775690, with its four victims', () => {
      const [truth]: { frontrun_swap: Hash; backrun_swap: Hash; sandwiched_swaps: Hash[] }[] = JSON.parse(
        readFileSync(`${folder}/12775690-sandwiches.json`, 'utf8'),
      )
      const matches = matchesOf(swapsOf(`${folder}/12775690-block.json.gz`))
      expect(matches).toHaveLength(1)
      const hashes = [truth?.frontrun_swap, ...(truth?.sandwiched_swaps ?? []), truth?.backrun_swap]
      expect(matches[0]?.evidence.map((id) => id.split(':')[2])).toEqual(hashes.map((one) => one?.transaction_hash))
      expect(matches[0]?.facts).toMatchObject({ profit: String(12158780499164852150n - 12108789017249529876n) })
    })

    // The recording is known for its arbitrages, which are none; three transactions in a row are plainly a sandwich.
    it('finds one in block 12914944, which sells to the last digit what it bought', () => {
      const swaps = swapsOf(`${folder}/12914944-block.json.gz`)
      expect(swaps.length).toBeGreaterThan(20)
      const matches = matchesOf(swaps)
      expect(matches.map(({ confidence, facts }) => [confidence, facts['victims'], facts['profit']])).toEqual([
        [1, '1', String(3_240_789_928 - 2_280_374_548)],
      ])
    })

    it('finds the sandwiches of jaredfromsubway.eth, four pools around one pair of transactions, in block 18500000', () => {
      const driver = createDriver({ steps: [decodeBlock, detectSandwiches], watch: watchOf() })
      driver.send(
        topics.chainBlocks,
        blockRecord(1, ethereumBlock(18_500_000), { finalized: 0, revision: 0, receivedAt: 0 }),
      )
      const matches = driver.read(topics.patternsMatches)
      expect(new Set(matches.map(({ subject }) => subject)).size).toBe(4)
      for (const { facts } of matches) {
        expect(facts['attacker']).toBe('0xae2fc483527b8ef99eb5d9b44875f005ba1fae13')
        expect(facts['frontTxHash']).toBe(matches[0]?.facts['frontTxHash'])
      }
    })
  })
})

interface Hash {
  readonly transaction_hash: string
}
