/** Starts Anvil, a real EVM node, as a child process that ends with its parent. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { assertPortFree, freePort } from '../ports.ts'

export interface AnvilOptions {
  /** 0, the default, takes a free one. */
  readonly port?: number
  /** Without it blocks are mined on request only (`evm_mine`, `anvil_mine`). */
  readonly blockTimeS?: number
  readonly chainId?: number
  /** Time of the genesis block in seconds since the epoch. */
  readonly genesisS?: number
}

export interface Anvil {
  readonly url: string
  readonly wsUrl: string
  readonly chainId: number
  readonly pid: number
  /** Ends the node; resolves when it is gone. */
  stop(): Promise<void>
}

/** States of this many newest blocks stay in memory and none go to disk; a reorganisation cannot go deeper. */
export const keptStates = 128
const startWithinMs = 15_000

/**
 * Starts the node on 127.0.0.1 and resolves once it answers. It takes the transactions that offer the highest fee first.
 * @throws Error where this platform's binary is not installed, the port is taken, or the node does not answer in 15 s
 */
export async function startAnvil(options: AnvilOptions = {}): Promise<Anvil> {
  const { blockTimeS, chainId = 31_337, genesisS } = options
  const port = options.port || (await freePort())
  // A foreign node behind the port would else pass for ours.
  await assertPortFree(port, 'Anvil')
  const mining = blockTimeS === undefined ? ['--no-mining'] : ['--block-time', String(blockTimeS)]
  const genesis = genesisS === undefined ? [] : ['--timestamp', String(genesisS)]
  const limits = ['--order', 'fees', '--accounts', '0', '--threads', '1', '--prune-history', String(keptStates)]
  const place = ['--quiet', '--host', '127.0.0.1', '--port', String(port), '--chain-id', String(chainId)]
  // A process group of its own: a Ctrl-C in the terminal is for the parent, which ends the node when it is done with it.
  const child = spawn(binary(), [...place, ...limits, ...mining, ...genesis], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  })
  let complaint = ''
  child.stderr.on('data', (text: Buffer) => (complaint = `${complaint}${text.toString()}`.slice(-2_000)))
  const ended = once(child, 'exit')
  ended.catch(() => undefined)
  await once(child, 'spawn')
  const pid = child.pid ?? 0
  const guard = endWithParent(pid)
  child.once('exit', () => guard.kill())

  const url = `http://127.0.0.1:${port}`
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  for (const until = performance.now() + startWithinMs; !(await answers(url));) {
    if (child.exitCode !== null || performance.now() > until) {
      await stop()
      throw new Error(`Anvil did not start on port ${port}: ${complaint.trim() || `exit code ${child.exitCode}`}`)
    }
    await sleep(20)
  }
  return { url, wsUrl: `ws://127.0.0.1:${port}`, chainId, pid, stop }
}

/** The platform package's binary itself: the bin of @foundry-rs/anvil is a wrapper that leaves its child behind. */
function binary(): string {
  const name = `@foundry-rs/anvil-${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`
  try {
    return join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), 'bin', 'anvil')
  } catch (cause) {
    throw new Error(`${name} is not installed: run npm install with optional dependencies`, { cause })
  }
}

/** A shell that waits for the end of its input, which comes with the parent's, however it ends, and then ends `pid`. */
function endWithParent(pid: number): ChildProcess {
  const script = 'read -r _; kill -9 "$0" 2>/dev/null'
  return spawn('/bin/sh', ['-c', script, String(pid)], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
}

async function answers(url: string): Promise<boolean> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_chainId', params: [] })
  const headers = { 'content-type': 'application/json' }
  return fetch(url, { method: 'POST', headers, body }).then(
    (response) => response.ok,
    () => false,
  )
}
