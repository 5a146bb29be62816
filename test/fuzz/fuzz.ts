/** The main loop: runs batches of inputs in watched processes, kind by kind, and makes small what they find. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCorpus, saveCorpus, type Corpus } from './corpus.ts'
import { Findings, type Fault } from './findings.ts'
import type { Kind } from './kind.ts'

export interface FuzzOptions {
  readonly seed: string
  readonly kinds: readonly Kind[]
  /** Index of the first input. */
  readonly from?: number
  /** Inputs of each kind at most. */
  readonly inputs: number
  /** Minutes after which no further batch begins. */
  readonly minutes: number
  /** CPU time that one task may take, in milliseconds. */
  readonly stallMs: number
  /** Whether recorded markets and blocks are in the corpus, where they are there. */
  readonly recordings: boolean
  /** How many processes run side by side. */
  readonly jobs: number
  readonly onProgress: (line: string) => void
}

/** What was run of a kind. */
export interface Tally {
  readonly inputs: number
  /** Left out, since one like them had ended the process. */
  readonly passed: number
  /** Inputs of a second of CPU time. */
  readonly perSecond: number
}

export interface FuzzReport {
  readonly ok: boolean
  readonly tallies: Readonly<Record<string, Tally>>
  readonly faults: readonly Fault[]
}

/** Runs kinds until their inputs or the time are used up. */
export async function runFuzz(options: FuzzOptions): Promise<FuzzReport> {
  const folder = await mkdtemp(join(tmpdir(), 'crypto-intel-fuzz-'))
  try {
    const place = await placeIn(folder, options)
    const runs = options.kinds.map((kind) => new KindRun(kind, options, place))
    const left = [...runs]
    const work = async (): Promise<void> => {
      // By turns, so that each kind gets its share of the time.
      for (let run = left.shift(); run !== undefined; run = left.shift()) if (await run.batch()) left.push(run)
    }
    try {
      await Promise.all(Array.from({ length: Math.max(1, options.jobs) }, work))
    } finally {
      await Promise.all(runs.map((run) => run.stop()))
    }
    const faults = runs.flatMap((run) => run.faults)
    const tallies = Object.fromEntries(runs.map((run) => [run.kind.name, run.tally]))
    return { ok: faults.length === 0, tallies, faults }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Runs one input alone. @returns what it is and what it breaks */
export async function showInput(kind: Kind, options: FuzzOptions, index: number): ReturnType<Findings['show']> {
  const folder = await mkdtemp(join(tmpdir(), 'crypto-intel-fuzz-'))
  try {
    const place = await placeIn(folder, options)
    const run = new KindRun(kind, options, place)
    try {
      return await run.show(index)
    } finally {
      await run.stop()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function placeIn(folder: string, { recordings, minutes, onProgress }: FuzzOptions): Promise<Place> {
  onProgress('making the corpus')
  const corpus = await makeCorpus(recordings)
  const corpusFile = join(folder, 'corpus')
  saveCorpus(corpusFile, corpus)
  return { corpus, corpusFile, folder, until: Date.now() + minutes * 60_000 }
}

interface Place {
  readonly corpus: Corpus
  readonly corpusFile: string
  readonly folder: string
  readonly until: number
}

/** Times that a batch is run again without what ended it. */
const mostAgain = 200

class KindRun {
  readonly kind: Kind
  readonly #options: FuzzOptions
  readonly #place: Place
  readonly #findings: Findings
  #next: number
  readonly #end: number
  #ran = 0
  #passed = 0
  #cpuMs = 0

  constructor(kind: Kind, options: FuzzOptions, place: Place) {
    this.kind = kind
    this.#options = options
    this.#place = place
    this.#next = options.from ?? 0
    this.#end = this.#next + options.inputs
    const { seed, stallMs, onProgress } = options
    const { corpus, corpusFile, folder } = place
    const progressFile = join(folder, `progress-${kind.name}`)
    const setup = { kind: kind.name, module: kind.module, seed, corpusFile, progressFile, bounds: { stallMs } }
    this.#findings = new Findings(kind, corpus, setup, onProgress)
  }

  get faults(): readonly Fault[] {
    return this.#findings.faults
  }

  get tally(): Tally {
    const perSecond = this.#cpuMs === 0 ? 0 : Math.round((this.#ran / this.#cpuMs) * 1_000)
    return { inputs: this.#ran, passed: this.#passed, perSecond }
  }

  /** Runs a batch. @returns whether there is a next */
  async batch(): Promise<boolean> {
    const from = this.#next
    const to = Math.min(this.#end, from + this.kind.batch)
    if (from >= to || Date.now() >= this.#place.until) return false
    this.#next = to
    for (let again = 0; again < mostAgain; again++) {
      const answer = await this.#findings.run(from, to)
      if (answer === undefined) continue
      this.#ran += answer.ran
      this.#passed += answer.passed
      this.#cpuMs += answer.cpuMs
      break
    }
    const { inputs, passed, perSecond } = this.tally
    const without = passed === 0 ? '' : `, ${passed} passed over`
    const count = this.faults.length
    this.#options.onProgress(
      `${this.kind.name} ${inputs}${without}, ${perSecond} a second of CPU time, ${count} faults`,
    )
    return to < this.#end && Date.now() < this.#place.until
  }

  show(index: number): ReturnType<Findings['show']> {
    return this.#findings.show(index)
  }

  stop(): Promise<void> {
    return this.#findings.stop()
  }
}
