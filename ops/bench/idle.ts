/** Idle cost: a process whose steps get nothing but time marks, beside a bare kafkajs process that waits. */
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { topics } from '../../schemas/topics.ts'
import { startWorkers } from '../local/demo/workers.ts'
import { prepareBareLine, startBareLine, type Usage } from './bare.ts'
import { tradeMarks } from './records.ts'
import { figure, type BenchOptions, type Figure } from './report.ts'
import { startBenchServers, type BenchServers } from './servers.ts'
import { usageOf } from './usage.ts'

const steps = ['build-candles', 'measure-market-risk', 'detect-price-shocks', 'generate-signals', 'evaluate-alerts']
const settleMs = 8_000
const measureMs = 20_000

export async function benchIdle({ say, rounds = 3 }: BenchOptions): Promise<Figure[]> {
  const servers = await startBenchServers(say)
  const watchFile = join(tmpdir(), `crypto-intel-bench-${process.pid}.yaml`)
  writeFileSync(watchFile, '{}')
  const marking = setInterval(() => void mark(servers), 1_000)
  try {
    await prepareBareLine(servers.env)
    const workers = await startWorkers(
      'crypto-intel',
      [{ name: 'idle', steps }],
      { ...servers.env, WATCH_FILE: watchFile },
      say,
      'bench',
    )
    const bare = await startBareLine(servers.env)
    try {
      await sleep(settleMs)
      const read = async (): Promise<[Usage, Usage]> => [
        (await usageOf(workers)).get('idle') ?? { cpuSeconds: NaN, bytes: NaN },
        await bare.usage(),
      ]
      const [ours, reference]: [number[], number[]] = [[], []]
      for (let round = 1; round <= rounds; round++) {
        const [before, started] = [await read(), performance.now()]
        await sleep(measureMs)
        const [after, ended] = [await read(), performance.now()]
        const percent = (at: 0 | 1): number =>
          ((after[at].cpuSeconds - before[at].cpuSeconds) * 100_000) / (ended - started)
        ours.push(percent(0))
        reference.push(percent(1))
        say(`round ${round}: ${percent(0).toFixed(2)} % of a core, bare process ${percent(1).toFixed(2)} %`)
      }
      const name = `idle, ${steps.length} processors with time marks`
      return [figure(name, '% of a core', ours, 'bare kafkajs process of 4 idle consumers', reference, '≤ 3')]
    } finally {
      await bare.stop()
      await workers.stop()
    }
  } finally {
    clearInterval(marking)
    rmSync(watchFile, { force: true })
    await servers.stop()
  }
}

const mark = (servers: BenchServers): Promise<unknown> =>
  servers.fill(topics.marketTrades, tradeMarks(Date.now() * 1_000)).catch(() => {})
