/** Which fault strikes what, and when: every combination once in a seeded order, then over and over in another one. */
import { seeded, type Random } from '../../ops/local/chain/random.ts'
import type { ServerName } from '../../ops/local/stack.ts'

export const kinds = ['connector', 'processor', 'sink', 'alert outbox'] as const
export const workerFaults = ['kill', 'freeze', 'cut', 'add', 'remove'] as const
const serverNames: readonly ServerName[] = ['kafka', 'registry', 'postgres', 'redis']

export type Kind = (typeof kinds)[number]
export type WorkerFault = (typeof workerFaults)[number]

/** A fault of a worker of one kind, the end of a server and its return, or the loss of all that Redis holds. */
export type Injection =
  | { readonly fault: WorkerFault; readonly on: Kind; readonly afterMs: number }
  | { readonly fault: 'restart'; readonly on: ServerName; readonly afterMs: number; readonly awayMs: number }
  | { readonly fault: 'empty'; readonly on: 'redis'; readonly afterMs: number }

/** Words under which an injection is reported. */
export const nameOf = ({ fault, on }: Injection): string => `${fault} ${on}`

/** Without end; the same seed gives the same sequence. */
export function* injections(seed: number, pauseMs: readonly [number, number]): Generator<Injection> {
  const random = seeded(`chaos ${seed}`)
  for (;;) yield* round(random, pauseMs)
}

function round(random: Random, [least, most]: readonly [number, number]): Injection[] {
  const afterMs = (): number => random.int(least, most)
  const workers = kinds.flatMap((on) => workerFaults.map((fault): Injection => ({ fault, on, afterMs: afterMs() })))
  const servers = serverNames.map((on): Injection => ({
    fault: 'restart',
    on,
    afterMs: afterMs(),
    awayMs: random.int(500, 4_000),
  }))
  return random.shuffled([...workers, ...servers, { fault: 'empty', on: 'redis', afterMs: afterMs() }])
}
