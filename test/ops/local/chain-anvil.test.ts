import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createPublicClient, http } from 'viem'
import { describe, expect, it } from 'vitest'
import { startAnvil } from '../../../ops/local/chain/anvil.ts'

const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('a node that is started', () => {
  it('mines by itself where a block time is given, and is gone after stop', async () => {
    const anvil = await startAnvil({ blockTimeS: 0.1, chainId: 99 })
    const client = createPublicClient({ transport: http(anvil.url) })
    expect(await client.getChainId()).toBe(99)
    await expect.poll(() => client.getBlockNumber({ cacheTime: 0 }), { timeout: 10_000 }).toBeGreaterThan(1n)
    await anvil.stop()
    expect(alive(anvil.pid)).toBe(false)
  }, 30_000)

  it('ends when its parent is killed', async () => {
    const module = new URL('../../../ops/local/chain/anvil.ts', import.meta.url).href
    const script = `const { startAnvil } = await import('${module}'); console.log((await startAnvil()).pid)`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [output]: unknown[] = await once(parent.stdout, 'data')
    const pid = Number(String(output))
    expect(alive(pid)).toBe(true)
    parent.kill('SIGKILL')
    await expect.poll(() => alive(pid), { timeout: 10_000 }).toBe(false)
  }, 30_000)

  it('says that its port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const address = other.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    await expect(startAnvil({ port })).rejects.toThrow(`port ${port} on 127.0.0.1 is taken`)
    other.close()
  })
})
