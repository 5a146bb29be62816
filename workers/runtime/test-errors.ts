/**
 * Errors that the failure tests have thrown under traffic. A file says which, and is looked at again every 200 ms; only under
 * NODE_ENV=test, and only where CRYPTO_INTEL_TEST_ERRORS names the file: everywhere else these functions do nothing.
 */
import { createHash } from 'node:crypto'
import { appendFileSync, readFileSync } from 'node:fs'
import type { Processor } from './definitions.ts'
import { RetryableError } from './errors.ts'

/** Where I/O or memory may fail; what is thrown there is no record's fault. */
export const faultPlaces = ['publish', 'dead-letter', 'copy', 'commit', 'checkpoint', 'cursor'] as const
export type FaultPlace = (typeof faultPlaces)[number]
/** Where what is thrown is the fault of the record at hand. */
export type RecordPlace = 'decode' | 'process'
/** What `classify` makes of them: `unknown` ones are fatal. */
export type Sort = 'unknown' | 'retryable'

/** What the file holds, as JSON. */
export interface TestErrors {
  /** Of each call at a place this share throws, in one sort of error. */
  readonly places?: Partial<Record<FaultPlace, { readonly share: number; readonly sort: Sort }>>
  /** Of the records one in so many, told by their ids: the same ones in every process, however often they are tried. */
  readonly records?: { readonly oneIn: number; readonly seed: number } & Readonly<
    Record<RecordPlace, readonly string[]>
  >
  /** Steps that throw at every record. */
  readonly buggy?: readonly string[]
}

/** What every such error says. */
export const madeUp = 'made up by a test'

const lookMs = 200
const file = process.env['NODE_ENV'] === 'test' ? process.env['CRYPTO_INTEL_TEST_ERRORS'] : undefined

let found: TestErrors = {}
let lookedAt = -Infinity

function current(name: string): TestErrors {
  const now = performance.now()
  if (now - lookedAt < lookMs) return found
  lookedAt = now
  try {
    found = JSON.parse(readFileSync(name, 'utf8'))
  } catch {
    // It is being written just now.
  }
  return found
}

/** @throws at some of the calls, as the file says */
export const mayFail: (place: FaultPlace) => void = file === undefined ? () => {} : (place) => failAt(file, place)

function failAt(name: string, place: FaultPlace): void {
  const fault = current(name).places?.[place]
  if (fault === undefined || Math.random() >= fault.share) return
  note(name, place)
  if (fault.sort === 'retryable') throw new RetryableError('unavailable', `${place}: ${madeUp}`)
  throw new Error(`${place}: ${madeUp}`)
}

/** Beside the file stands a line for each error that was thrown, so that a test can wait for the first and count them. */
const note = (name: string, place: string): void => appendFileSync(`${name}.thrown`, `${place}\n`)

/** Whether a record is one of those at which a step is to throw. */
export function isChosen(records: TestErrors['records'], place: RecordPlace, step: string, id: string): boolean {
  if (records === undefined || !records[place].includes(step) || id.startsWith(foreign)) return false
  const digest = createHash('sha1').update(`${records.seed} ${place} ${step} ${id}`).digest()
  return digest.readUInt32BE(0) % records.oneIn === 0
}

/** How the ids of records begin that the tests write themselves. */
export const foreign = 'foreign:'

/** @returns a step that throws at the records that the file says, sometimes when it has done its work already. */
export function failing(step: Processor): Processor {
  if (file === undefined) return step
  // A copy of a state is brought up to date by calls that were made before.
  const taken = new WeakSet<object>()
  return {
    ...step,
    process(record, state, emit, at) {
      const { buggy = [], records } = current(file)
      const id = 'id' in record && typeof record.id === 'string' ? record.id : ''
      const bad = !taken.has(record) && (buggy.includes(step.name) || isChosen(records, 'process', step.name, id))
      if (bad) note(file, 'process')
      if (bad && id.length % 2 === 0) throw new Error(madeUp)
      step.process(record, state, emit, at)
      if (bad) throw new Error(madeUp)
      taken.add(record)
    },
  }
}

/** @returns what a record of a step was decoded to. @throws at those that the file says */
export const asDecoded: <T extends object>(step: string, record: T) => T =
  file === undefined ? (_step, record) => record : (step, record) => decodedBy(file, step, record)

function decodedBy<T extends object>(name: string, step: string, record: T): T {
  const id = 'id' in record && typeof record.id === 'string' ? record.id : ''
  if (!isChosen(current(name).records, 'decode', step, id)) return record
  note(name, 'decode')
  throw new Error(madeUp)
}
