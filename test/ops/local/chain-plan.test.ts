import { type Address, decodeFunctionData } from 'viem'
import { describe, expect, it } from 'vitest'
import { abi, amountOf, pools, router, tokens } from '../../../ops/local/chain/contracts.ts'
import { addressOf } from '../../../ops/local/chain/address.ts'
import { reorgDepth } from '../../../ops/local/chain/events.ts'
import { participants, type Plan, planOf } from '../../../ops/local/chain/plan.ts'
import { tradersOf } from '../../../ops/local/chain/traders.ts'
import { chainWatch } from '../../../ops/local/chain/watch.ts'
import { WatchSchema } from '../../../workers/runtime/watch.ts'

const seeds = Array.from({ length: 10 }, (_, index) => index + 1)
const comparable = ({ events }: Plan) =>
  events.map(({ name, start, subject, wallets, steps }) => [
    name,
    start,
    subject,
    wallets,
    steps.map(({ action }) => action),
  ])
const alike = (a: Address, b: Address): boolean => a.slice(0, 6) === b.slice(0, 6) && a.slice(-4) === b.slice(-4)

describe('the plan of a seed', () => {
  it('is the same every time, and another for another seed', () => {
    expect(comparable(planOf(7))).toEqual(comparable(planOf(7)))
    expect(comparable(planOf(7))).not.toEqual(comparable(planOf(8)))
  })

  it.each(seeds)('lets nobody take part in two events or in the background (seed %i)', (seed) => {
    const { events, traders, exchange } = planOf(seed)
    const all = [...traders.map(addressOf), ...events.flatMap(participants)]
    expect(new Set(all).size).toBe(all.length)
    const moved = events.filter((event) => event.wallets.some((wallet) => exchange.wallets.includes(wallet)))
    expect(moved.map((event) => event.name)).toEqual(['exchange-move'])
  })

  it.each(seeds)('has look-alikes only where it poisons (seed %i)', (seed) => {
    const { events, traders } = planOf(seed)
    const all = [...traders.map(addressOf), ...events.flatMap(participants)]
    const pairs = all.flatMap((a, index) => all.slice(index + 1).flatMap((b) => (alike(a, b) ? [[a, b]] : [])))
    const poisoning = events.filter((event) => event.pattern === 'address-poisoning' && !event.decoy)
    expect(pairs).toHaveLength(poisoning.length)
    for (const pair of pairs)
      expect(poisoning.some(({ wallets }) => pair.every((one) => wallets.includes(one)))).toBe(true)
  })

  it.each(seeds)('keeps the removed blocks free of other events, and blocks with swaps apart (seed %i)', (seed) => {
    const { events, blocks } = planOf(seed)
    const steps = events.flatMap((event) => event.steps.map((step) => ({ event, step, at: event.start + step.block })))
    const removed = events.find((event) => event.removedAt === reorgDepth)?.start ?? NaN
    const inRemoved = steps.filter(({ at }) => at >= removed && at < removed + reorgDepth)
    expect(inRemoved.map(({ event }) => event.name)).toEqual(['reorg'])
    const swapBlocks = steps.filter(({ step }) => step.action.kind === 'swap').map(({ at }) => at)
    expect(new Set(swapBlocks).size).toBe(2)
    expect(Math.max(...steps.map(({ at }) => at), removed + reorgDepth)).toBeLessThan(blocks)
  })

  it('removes a whale of another token than the one that stays', () => {
    for (const { events } of seeds.map((seed) => planOf(seed))) {
      const subjects = events
        .filter((event) => event.pattern === 'whale-transfer' && !event.decoy)
        .map((one) => one.subject)
      expect(new Set(subjects).size).toBe(2)
    }
  })

  it('takes fixed starts, and says so where they leave no room', () => {
    const { events } = planOf(1, 31_337, { reorg: 4, sandwich: 9 })
    expect(events.find((event) => event.name === 'sandwich')?.start).toBe(9)
    expect(() => planOf(1, 31_337, { reorg: 4, sandwich: 5 })).toThrow('no room for sandwich')
  })

  it('has a watch file that the schema takes', () => {
    expect(WatchSchema.parse({ chains: [chainWatch(planOf(1))] }).chains[0]?.tokens).toHaveLength(tokens.length)
  })
})

describe('background traders', () => {
  it.each(seeds)('never close a ring, act once a block at most, and stay small (seed %i)', (seed) => {
    const plan = planOf(seed)
    const traders = tradersOf(plan)
    const [givers, getters] = [new Set<string>(), new Set<string>()]
    for (let block = 0; block < 200; block++) {
      const requests = traders(15)
      expect(new Set(requests.map(({ account }) => account)).size).toBe(requests.length)
      for (const { account, to = '0x', data, value = 0n } of requests) {
        const from = addressOf(account)
        expect(value).toBeLessThan(10n ** 18n)
        if (data === undefined) {
          givers.add(`native ${from}`)
          getters.add(`native ${to}`)
          continue
        }
        const call = decodeFunctionData({ abi, data })
        if (call.functionName === 'swapExactTokensForTokens') {
          expect(to).toBe(router)
          const [tokenIn = '', tokenOut = ''] = call.args[2].map((address) => address.toLowerCase())
          givers.add(`${tokenIn} ${from}`)
          getters.add(`${tokenOut} ${from}`)
        } else if (call.functionName === 'transfer') {
          const token = tokens.find(({ address }) => address === to)
          if (token) expect(call.args[1]).toBeLessThan(amountOf(token, 5_001))
          givers.add(`${to} ${from}`)
          getters.add(`${to} ${call.args[0].toLowerCase()}`)
        } else throw new Error(`traders do not ${call.functionName}`)
      }
    }
    expect([...givers].filter((who) => getters.has(who))).toEqual([])
    expect(pools.length).toBeGreaterThanOrEqual(3)
  })
})
