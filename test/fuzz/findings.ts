/** What a kind has found: runs ranges of inputs, tells new faults from known ones, and shrinks the new. */
import type { Corpus } from './corpus.ts'
import { inputOf, isLike, type Passed } from './generate.ts'
import type { Fields, Finding, Input, Kind } from './kind.ts'
import type { Answer, Request, Setup } from './protocol.ts'
import { shrink } from './shrink.ts'
import { Died, Watched } from './watched.ts'

/** A fault with an input that shows it. */
export interface Fault {
  readonly kind: string
  readonly seed: string
  /** Indexes of the inputs that show it together, most often one; none where it is of no single input. */
  readonly indexes: readonly number[]
  readonly what: string
  readonly where: string
  readonly detail: string
  readonly target: string
  /** The edits that it takes. */
  readonly edits: readonly string[]
  /** The bytes of the smallest input that shows it, in hex. */
  readonly hex: Readonly<Record<string, string | null>>
  /** Other targets and steps at which the same edits break the same. */
  readonly elsewhere: readonly string[]
  /** How often it was seen. */
  readonly count: number
}

/** Faults of one invariant that are looked into; more are counted. */
const mostOfASort = 40
const runsToShrink = 250
/** Where each run may end a process. */
const deadlyRunsToShrink = 40
/** Where a process has ended. */
const died = 'process'

export class Findings {
  readonly #kind: Kind
  readonly #corpus: Corpus
  readonly #setup: Setup
  readonly #onProgress: (line: string) => void
  readonly #faults: (Fault & { count: number; elsewhere: string[] })[] = []
  readonly #passed: Passed[] = []
  #process: Watched | undefined

  constructor(kind: Kind, corpus: Corpus, setup: Setup, onProgress: (line: string) => void) {
    this.#kind = kind
    this.#corpus = corpus
    this.#setup = setup
    this.#onProgress = onProgress
  }

  get faults(): readonly Fault[] {
    return this.#faults
  }

  /** Runs inputs. @returns undefined where they are to be run again, without what ended the process or a step */
  async run(from: number, to: number): Promise<Answer | undefined> {
    const answer = await this.#ask({ op: 'range', from, to, passed: this.#passed })
    const ends = answer.findings.filter(({ ended }) => ended === true)
    for (const finding of ends.length > 0 ? ends : answer.findings) await this.#found(finding)
    // What no input has done is not mended by leaving some out.
    return ends.some(({ among }) => among.length > 0) ? undefined : answer
  }

  /** Runs one input alone. @returns what it breaks, and its bytes */
  async show(index: number): Promise<{ findings: readonly Finding[]; hex: Fault['hex']; edits: readonly string[] }> {
    const input = inputOf(this.#kind, this.#setup.seed, index, this.#corpus)
    const { findings } = await this.#ask({ op: 'inputs', inputs: [input] })
    return {
      findings,
      hex: hexOf(this.#kind.fields(input, this.#corpus)),
      edits: input.edits.map(({ label }) => label),
    }
  }

  async stop(): Promise<void> {
    await this.#process?.stop()
  }

  /** A process that dies has a finding for it, and a successor at the next request. */
  async #ask(request: Request): Promise<Answer> {
    this.#process ??= await Watched.start(this.#setup)
    try {
      return await this.#process.ask(request)
    } catch (error) {
      if (!(error instanceof Died)) throw error
      this.#process = undefined
      const { what, message: detail, among } = error
      return { findings: [{ what, where: died, detail, among, ended: true }], ran: 0, passed: 0, cpuMs: 0 }
    }
  }

  async #found(finding: Finding): Promise<void> {
    const { what, among, ended = false } = finding
    const inputs = among.map((index) => inputOf(this.#kind, this.#setup.seed, index, this.#corpus))
    // What ends something else too is left out from now on; whatever is left shows when the rest is run again.
    if (ended && inputs.some((input) => this.#passed.some((passed) => isLike(input, passed)))) return
    const known = this.#faults.filter((fault) => fault.what === what)
    const explains = ({ target, edits, elsewhere }: Fault, input: Input): boolean =>
      isLike(input, { target: elsewhere.length > 0 ? undefined : target, labels: edits })
    const fresh = ended ? inputs : inputs.filter((input) => !known.some((fault) => explains(fault, input)))
    const first = known.find((fault) => inputs.some((input) => explains(fault, input))) ?? known[0]
    const isEnough = !ended && first !== undefined && (fresh.length === 0 || known.length >= mostOfASort)
    if (isEnough || (!(await this.#examine(finding, fresh)) && first !== undefined)) first.count++
  }

  /** Looks for the smallest input. @returns whether the finding is a fault of its own */
  async #examine(finding: Finding, inputs: readonly Input[]): Promise<boolean> {
    const { what, where, ended = false } = finding
    this.#onProgress(`${this.#kind.name}: ${what} (${where}: ${finding.detail.slice(0, 120)})`)
    let { detail } = finding
    const breaks = async (some: readonly Input[]): Promise<boolean> => {
      const { findings } = await this.#ask({ op: 'inputs', inputs: some })
      const same = findings.find((one) => isSame(one, finding))
      if (same !== undefined) ({ detail } = same)
      return same !== undefined
    }
    const isDeadly = where === died
    const suspects = isDeadly ? await this.#culprit(inputs) : inputs
    const runs = isDeadly ? deadlyRunsToShrink : runsToShrink
    const few = await shrink(this.#kind, this.#corpus, suspects, breaks, { runs, bytes: !isDeadly })
    const isKnown = this.#faults.some((fault) => fault.what === what && fault.where === where)
    if (few === undefined && !ended && isKnown) return false
    // What was seen only once counts all the same.
    const shown = few ?? suspects
    const [only] = shown
    const hex = only === undefined || shown.length > 1 ? {} : hexOf(this.#kind.fields(only, this.#corpus))
    const { kind, seed } = this.#setup
    const indexes = shown.flatMap(({ index }) => (index === undefined ? [] : [index]))
    const edits = [...new Set(shown.flatMap((input) => input.edits.map(({ label }) => label)))]
    const target = only?.target ?? ''
    this.#onProgress(`  ${target}: ${edits.join(', ')}`)
    const same = this.#faults.find(
      (fault) => fault.what === what && isAlike(fault.edits, edits) && plain(fault.detail) === plain(detail),
    )
    if (same === undefined)
      this.#faults.push({ kind, seed, indexes, what, where, detail, target, edits, hex, elsewhere: [], count: 1 })
    else {
      same.count++
      same.elsewhere.push(where === died ? target : `${target} (${where})`)
    }
    if (ended) this.#passed.push(...shown.map((input) => passedOf(input, few !== undefined, same !== undefined)))
    return true
  }

  /** Of inputs of which one has ended the process, the first that does it alone; all where none does. */
  async #culprit(inputs: readonly Input[]): Promise<readonly Input[]> {
    const { findings } = await this.#ask({ op: 'inputs', inputs, singly: true })
    const among = findings.find(({ where }) => where === died)?.among ?? []
    const culprits = among.flatMap((index) => inputs[index] ?? [])
    return culprits.length > 0 ? culprits : inputs
  }
}

/** @param isEverywhere whether the same edits break the same at another target */
const passedOf = ({ index = -1, target, edits }: Input, isKnown: boolean, isEverywhere: boolean): Passed =>
  isKnown ? { target: isEverywhere ? undefined : target, labels: edits.map(({ label }) => label) } : { index }

const isAlike = (a: readonly string[], b: readonly string[]): boolean => a.toSorted().join() === b.toSorted().join()

/** Errors differ by what they say; what else is broken is told by the invariant alone. */
const isSame = (a: Finding, b: Finding): boolean =>
  a.what === b.what && a.where === b.where && (b.ended !== true || plain(a.detail) === plain(b.detail))

const plain = (detail: string): string =>
  detail
    .replace(/"[^"]*"/g, '""')
    .replace(/[\d.]+/g, '#')
    .slice(0, 60)

/** A report is read by people. */
const mostHex = 4_000

const hexOf = (fields: Fields): Fault['hex'] =>
  Object.fromEntries(
    fields.map(([name, bytes]) => {
      if (bytes === null) return [name, null]
      const hex = Buffer.from(bytes).toString('hex')
      return [name, hex.length <= mostHex ? hex : `${hex.slice(0, mostHex)}… (${bytes.length} bytes)`]
    }),
  )
