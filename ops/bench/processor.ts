/** Processors: records a second from topic through threads to topic, beside a bare kafkajs loop on the same broker. */
import { topics } from '../../schemas/topics.ts'
import { runChild, type Run } from './child.ts'
import { corruptName } from './names.ts'
import { corrupted, readableOf, tradeMessages } from './records.ts'
import { figure, median, type BenchOptions, type Figure } from './report.ts'
import { startBenchServers } from './servers.ts'

const messages = 600_000
/** One a slot and day: a run would begin where the snapshot of the one before stands. */
const rareSnapshots = { SNAPSHOT_MS: '86400000' }

export async function benchProcessor({ say, profiles, rounds = 5 }: BenchOptions): Promise<Figure[]> {
  const servers = await startBenchServers(say)
  try {
    const total = await servers.fill(topics.marketTrades, tradeMessages(messages, servers.ids))
    await servers.fill({ ...topics.marketTrades, name: corruptName }, corrupted(tradeMessages(messages, servers.ids)))
    say(`${total} trades are in the topic, and once more with one in a hundred corrupt`)
    const runs = {
      passThrough: [] as Run[],
      risk: [] as Run[],
      corrupt: [] as Run[],
      copy: [] as Run[],
      read: [] as Run[],
    }
    const env = { ...servers.env, ...rareSnapshots }
    const worker = async (step: string, records = total, ...input: string[]): Promise<Run> => {
      await servers.forget()
      return runChild('worker.ts', [step, String(records), ...input], env, profiles)
    }
    const bare = (what: string): Promise<Run> => runChild('bare-loop.ts', [what, String(total)], servers.env, profiles)
    for (let round = 1; round <= rounds; round++) {
      runs.passThrough.push(await worker('pass-through'))
      runs.copy.push(await bare('copy'))
      runs.risk.push(await worker('measure-market-risk'))
      runs.corrupt.push(await worker('measure-market-risk', readableOf(total), corruptName))
      runs.read.push(await bare('read'))
      const shown = Object.entries(runs).map(
        ([name, [...list]]) => `${name} ${Math.round(list.at(-1)?.perSecond ?? 0)}`,
      )
      say(`round ${round}: ${shown.join(', ')} records/s`)
    }
    const rate = (list: readonly Run[]): number[] => list.map(({ perSecond }) => perSecond)
    const cpu = (list: readonly Run[]): number[] => list.map(({ cpuMicros }) => cpuMicros)
    say(`CPU per record: pass-through ${median(cpu(runs.passThrough)).toFixed(1)} µs`)
    const [copying, reading] = ['bare kafkajs loop, same bytes out', 'bare kafkajs loop, nothing out']
    const corrupt = 'measure-market-risk with 1 % corrupt records'
    return [
      figure('pass-through', 'records/s', rate(runs.passThrough), copying, rate(runs.copy), '≥ 0.85'),
      figure('measure-market-risk', 'records/s', rate(runs.risk), copying, rate(runs.copy), '≥ 0.7'),
      figure('measure-market-risk, reading alone', 'records/s', rate(runs.risk), reading, rate(runs.read)),
      figure(corrupt, 'records/s', rate(runs.corrupt), 'the same without', rate(runs.risk), '≥ 0.95'),
      figure('pass-through, CPU', 'µs/record', cpu(runs.passThrough), copying, cpu(runs.copy)),
      figure('measure-market-risk, CPU', 'µs/record', cpu(runs.risk), copying, cpu(runs.copy)),
      figure(`${corrupt}, CPU`, 'µs/record', cpu(runs.corrupt), 'the same without', cpu(runs.risk)),
    ]
  } finally {
    await servers.stop()
  }
}
