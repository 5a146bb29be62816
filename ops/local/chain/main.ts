/** Runs the local chain alone: `node ops/local/chain/main.ts [--seed 1] [--port 8545] [--block-time 1] [--no-plants]`. */
import { parseArgs } from 'node:util'
import { stringify } from 'yaml'
import { startChain } from './chain.ts'

async function run(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      port: { type: 'string', default: '8545' },
      'block-time': { type: 'string', default: '1' },
      'no-plants': { type: 'boolean', default: false },
    },
  })
  const number = (name: 'seed' | 'port' | 'block-time', text: string): number => {
    if (!/^\d+(\.\d+)?$/.test(text)) throw new Error(`--${name} takes a number, not ${text}`)
    return Number(text)
  }
  const chain = await startChain({
    seed: number('seed', values.seed),
    port: number('port', values.port),
    blockTimeS: number('block-time', values['block-time']),
    plants: !values['no-plants'],
  })
  console.log(`${chain.url}  ${chain.wsUrl}  chain ${chain.chainId}\n\n${stringify({ chains: [chain.watch] })}`)
  chain.arm()
  let told = 0
  const report = setInterval(() => {
    const events = [...chain.planted(), ...chain.decoys()].toSorted((a, b) => a.ts - b.ts)
    for (const { name, atBlock, expected } of events.slice(told)) {
      console.log(`block ${atBlock}: ${name} ${expected.subject}`)
    }
    told = events.length
  }, 1_000)
  const signals = ['SIGINT', 'SIGTERM'].map((name) => new Promise((resolve) => process.once(name, resolve)))
  try {
    await Promise.race([chain.failed, ...signals])
  } finally {
    clearInterval(report)
    await chain.stop()
  }
}

run().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
})
