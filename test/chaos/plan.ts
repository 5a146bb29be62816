/** Which fault strikes what, and when: every combination once in a seeded order, then over and over in another one. */
import { seeded, type Random } from '../../ops/local/chain/random.ts'
import type { ServerName } from '../../ops/local/stack.ts'
import { faultPlaces, type FaultPlace, type Sort } from '../../workers/runtime/test-errors.ts'

export const kinds = ['connector', 'processor', 'sink', 'alert outbox'] as const
export const workerFaults = ['kill', 'freeze', 'cut', 'add', 'remove'] as const
const serverNames: readonly ServerName[] = ['kafka', 'registry', 'postgres', 'redis']

export const sorts: readonly Sort[] = ['unknown', 'retryable']

export type Kind = (typeof kinds)[number]
export type WorkerFault = (typeof workerFaults)[number]

/**
 * A fault of a worker of one kind, the end of a server and its return, the loss of all that Redis holds, errors thrown at a place in
 * the workers for a while, or a registry that answers as an empty one.
 */
export type Injection =
  | { readonly fault: WorkerFault; readonly on: Kind; readonly afterMs: number }
  | { readonly fault: 'restart'; readonly on: ServerName; readonly afterMs: number; readonly awayMs: number }
  | { readonly fault: 'empty'; readonly on: 'redis'; readonly afterMs: number }
  | {
      readonly fault: 'throw'
      readonly on: FaultPlace
      readonly sort: Sort
      readonly afterMs: number
      readonly forMs: number
    }
  | { readonly fault: 'hide'; readonly on: 'registry'; readonly afterMs: number; readonly forMs: number }

/** Words under which an injection is reported. */
export const nameOf = (injection: Injection): string =>
  injection.fault === 'throw' ? `throw ${injection.sort} ${injection.on}` : `${injection.fault} ${injection.on}`

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
  const errors = faultPlaces.flatMap((on) =>
    sorts.map((sort): Injection => ({ fault: 'throw', on, sort, afterMs: afterMs(), forMs: random.int(1_000, 4_000) })),
  )
  const hidden: Injection = { fault: 'hide', on: 'registry', afterMs: afterMs(), forMs: random.int(3_000, 8_000) }
  return random.shuffled([
    ...workers,
    ...servers,
    { fault: 'empty', on: 'redis', afterMs: afterMs() },
    ...errors,
    hidden,
  ])
}
