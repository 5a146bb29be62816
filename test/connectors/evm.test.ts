/** The connector as the runtime runs it: against a real node, through its reorganisations, silence and restarts. */
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startAnvil, type Anvil } from '../../ops/local/chain/anvil.ts'
import { ChainSession, eventually } from './evm/chain-session.ts'
import { RpcNode } from './evm/rpc-node.ts'
import { bareBlock, branch, rebased } from './evm/synthetic-chain.ts'

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

function startSession(...options: ConstructorParameters<typeof ChainSession>): ChainSession {
  const session = new ChainSession(...options)
  cleanups.push(() => session.stop().catch(() => undefined))
  return session
}

const anvilChain = { chainId: 31337, finalityDepth: 20, blockTime: '1s' }
const [payer, payee] = [`0x${'11'.repeat(20)}`, `0x${'22'.repeat(20)}`]
const Answer = z.object({ result: z.unknown().optional(), error: z.object({ message: z.string() }).optional() })
const Block = z.object({ hash: z.string() })

/** A node with an account that can pay and needs no key. */
async function startNode(genesisS?: number): Promise<Anvil> {
  const anvil = await startAnvil(genesisS === undefined ? {} : { genesisS })
  cleanups.push(() => anvil.stop())
  await call(anvil, 'anvil_impersonateAccount', payer)
  await call(anvil, 'anvil_setBalance', payer, `0x${(10n ** 24n).toString(16)}`)
  return anvil
}

async function call({ url }: Anvil, method: string, ...params: readonly unknown[]): Promise<unknown> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  const { result, error } = Answer.parse(await response.json())
  if (error !== undefined) throw new Error(`${method}: ${error.message}`)
  return result
}

/** Mines blocks that each hold a payment and a contract that logs. */
async function mine(anvil: Anvil, blocks: number): Promise<void> {
  for (let block = 0; block < blocks; block += 1) {
    await call(anvil, 'eth_sendTransaction', { from: payer, to: payee, value: '0x2a' })
    // PUSH1 32 PUSH1 0 LOG0 STOP, as creation code
    await call(anvil, 'eth_sendTransaction', { from: payer, data: '0x60206000a000', gas: '0x20000' })
    await call(anvil, 'evm_mine')
  }
}

const head = async (anvil: Anvil): Promise<string> =>
  Block.parse(await call(anvil, 'eth_getBlockByNumber', 'latest', false)).hash

describe('against a real node', () => {
  it('brings every block whole, follows reorganisations of 1 and 7, and goes on after a restart', async () => {
    const anvil = await startNode()
    await mine(anvil, 12)
    const urls = [anvil.url, anvil.wsUrl]
    const session = startSession({ chain: anvilChain, urls })
    const inStep = async (): Promise<boolean> => session.tip === (await head(anvil))
    await eventually(inStep)
    expect(session.log.numbers()).toEqual(Array.from({ length: 13 }, (_, at) => at))
    const [payment, creation] = session.log.written.at(-1)?.record.transactions ?? []
    expect(payment).toMatchObject({ value: '42', success: true, logs: [] })
    expect(creation).toMatchObject({ to: null, success: true, logs: [{ logIndex: 0, topics: [] }] })

    for (const depth of [1, 7]) {
      const before = session.log.written.length
      await call(anvil, 'anvil_reorg', depth, [])
      await mine(anvil, 1)
      await eventually(inStep)
      expect(session.log.written.slice(before).filter(({ record }) => record.removed)).toHaveLength(depth)
    }
    await session.stop()
    await mine(anvil, 2)
    await call(anvil, 'anvil_reorg', 4, [])
    await mine(anvil, 1)
    const again = startSession({ chain: anvilChain, urls, log: session.log })
    await eventually(async () => again.tip === (await head(anvil)))
    expect(again.said).not.toContain('lost')
  })

  it('meets blocks that are mined all the while', async () => {
    const anvil = await startNode()
    await mine(anvil, 60)
    const session = startSession({ chain: anvilChain, urls: [anvil.url] })
    for (let round = 0; round < 10; round += 1) await mine(anvil, 5)
    await eventually(async () => session.tip === (await head(anvil)))
    const numbers = session.log.standing().map(({ block }) => block)
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, at) => (numbers[0] ?? 0) + at))
  })

  it('of another chain than the journal was written from, it ends with one clear sentence', async () => {
    const [first, second] = [await startNode(1_700_000_000), await startNode(1_700_000_001)]
    // Anvil calls final what lies two epochs of 32 blocks behind its head.
    for (const anvil of [first, second]) await call(anvil, 'anvil_mine', '0x5a')
    const session = startSession({ chain: anvilChain, urls: [first.url] })
    await eventually(async () => session.tip === (await head(first)))
    expect(session.log.numbers()[0]).toBe(26)
    await session.stop()
    const other = startSession({ chain: anvilChain, urls: [second.url], log: session.log })
    await expect(other.ended).rejects.toThrow(/^chain 31337: the node's chain does not contain the final block/)
    expect(other.said).toEqual(['connected', 'lost'])
  })
})

describe('a silent node', () => {
  const long = branch(bareBlock, 80, 'main', { from: 0 })

  it('is reported stale, its socket opened again, and what was missed comes once', async () => {
    const node = await RpcNode.start(long.slice(0, 60))
    cleanups.push(() => node.close())
    const http = createServer()
    const sockets = new WebSocketServer({ server: http })
    let connections = 0
    sockets.on('connection', () => (connections += 1))
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    cleanups.push(async () => {
      for (const client of sockets.clients) client.terminate()
      await new Promise((resolve) => http.close(resolve))
    })
    const address = http.address()
    const url = `ws://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
    const chain = { finalityDepth: 20, blockTime: '100ms' }
    const session = startSession({ chain, urls: [node.url, url] })
    await eventually(() => session.said.includes('stale') && connections >= 2)
    node.hold(long)
    await eventually(() => session.tip === long.at(-1)?.block.hash)
    await eventually(() => session.said.length === 5)
    expect(session.log.numbers()).toEqual(Array.from({ length: 41 }, (_, at) => 39 + at))
    expect(session.said).toEqual(['connected', 'stale', 'resynced', 'gap', 'resynced'])
    const staleness = await session.context.metrics.feedStaleness.get()
    expect(staleness.values[0]?.labels).toEqual({ feed: 'evm:1' })
  }, 20_000)
})

describe('a gap', () => {
  it('is told with its first and last block, and that it was filled', async () => {
    const long = branch(bareBlock, 200, 'main', { from: 0 })
    const node = await RpcNode.start(long.slice(0, 60))
    cleanups.push(() => node.close())
    const session = startSession({ chain: { finalityDepth: 1, blockTime: '500ms' }, urls: [node.url] })
    await eventually(() => session.tip === long[59]?.block.hash)
    node.hold(long)
    await eventually(() => session.said.includes('resynced'))
    expect(session.statuses.find(({ status }) => status === 'gap')).toMatchObject({ fromId: '60', toId: '199' })
    expect(session.said).toEqual(['connected', 'gap', 'resynced'])
  })
})

describe('a block that is dated ahead of our clock', () => {
  it('is waited for: the feed says that it is behind, and how stale it is, while the node goes on', async () => {
    const nowS = Math.floor(Date.now() / 1_000)
    const past = branch(bareBlock, 10, 'main', { from: 0 })
    const ahead = rebased(bareBlock, 10, past[9]?.block.hash ?? '0x', 'main', nowS + 7_200)
    const node = await RpcNode.start([...past, ahead])
    cleanups.push(() => node.close())
    const session = startSession({ chain: { finalityDepth: 5, blockTime: '200ms' }, urls: [node.url] })
    await eventually(() => session.said.includes('behind'))
    expect(session.tip).toBe(past[9]?.block.hash)
    expect(session.statuses.at(-1)?.detail).toMatch(/^block 10 is dated 7[12]\d\d s ahead of our clock and waits$/)
    node.hold([...past, ahead, rebased(bareBlock, 11, ahead.block.hash, 'main', nowS + 7_201)])
    const staleness = async (): Promise<number> => (await session.context.metrics.feedStaleness.get()).values[0]?.value ?? 0 // prettier-ignore
    await eventually(async () => (await staleness()) > 1.5)
    // Another branch, of which no block is ahead.
    node.hold([...past, ...branch(bareBlock, 3, 'other', past[9] ?? bareBlock)])
    await eventually(() => session.said.includes('resynced'))
    expect(session.said).toEqual(['connected', 'behind', 'resynced'])
    expect(session.log.numbers().some((number) => number < 0)).toBe(false)
  }, 20_000)
})

describe('the configuration', () => {
  it('without a node of a watched chain ends the connector and names the variable', async () => {
    const session = startSession({ urls: [] })
    await expect(session.ended).rejects.toThrow(/^EVM_RPC_URLS names no http or https node of chain 1 \(chain-1\)$/)
    const socketsOnly = startSession({ urls: ['ws://127.0.0.1:1'] })
    await expect(socketsOnly.ended).rejects.toThrow(/EVM_RPC_URLS/)
  })

  it('continues the statuses of the last session even when the clock went back', async () => {
    const node = await RpcNode.start(branch(bareBlock, 3, 'main', { from: 0 }))
    cleanups.push(() => node.close())
    const session = startSession({ urls: [node.url], cursor: '9000000000000' })
    await eventually(() => session.said.includes('connected'))
    expect(session.cursors.get('evm:1')).toBe('9000000000001')
  })
})
