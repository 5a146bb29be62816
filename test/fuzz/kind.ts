/** What a kind of input is: all that the main loop, the shrinker and the report know of it. */
import type { Random } from '../../ops/local/chain/random.ts'
import type { Corpus } from './corpus.ts'

/** One change that makes a good message or request a hostile one. */
export interface Edit {
  /** The same for all changes of a sort, so that findings can be told apart by it. */
  readonly label: string
}

/** The bytes of an input, each with the name that a report gives it. */
export type Fields = readonly (readonly [name: string, bytes: Uint8Array | null])[]

/** A good message or request and what is changed of it: plain data, since it goes between processes. */
export interface Input {
  /** Its number under the seed. */
  readonly index?: number
  /** Where it goes: a topic, a server. */
  readonly target: string
  readonly edits: readonly Edit[]
  /** What the shrinker made of the bytes; they stand instead of what the edits would give. */
  readonly raw?: Fields
}

/** What an input broke. */
export interface Finding {
  /** The invariant, in a few words that are the same for all inputs which break it in the same way. */
  readonly what: string
  /** The step, or what else was given the input. */
  readonly where: string
  readonly detail: string
  /** Indexes of the inputs that may have done it. */
  readonly among: readonly number[]
  /** True where whatever ran has ended with it, so that the other inputs of the run say nothing. */
  readonly ended?: true
}

/** Told of the inputs that run next, by their indexes, so that a process that ends says at which. */
export type Progress = (indexes: readonly number[]) => void

/** Bounds that every run is held to. */
export interface Bounds {
  /** CPU time that one task may take, in milliseconds. */
  readonly stallMs: number
}

/** What inputs of a kind run against, in a process of its own. */
export interface Running<I extends Input = Input> {
  /** Runs inputs together, with good ones between them. @returns what they broke */
  run(inputs: readonly I[], progress: Progress): Promise<readonly Finding[]>
  stop(): Promise<void>
}

/** One sort of hostile input; to add one, write its file in kinds/ and a line in kinds.ts. */
export interface Kind<I extends Input = Input> {
  readonly name: string
  /** import.meta.url of its file, from which processes import it. */
  readonly module: string
  /** One line for --help. */
  readonly about: string
  /** How many inputs run together. */
  readonly batch: number
  /** Makes an input; the same random numbers and corpus always give the same. */
  generate(random: Random, corpus: Corpus): I
  /** The bytes that an input comes to. */
  fields(input: I, corpus: Corpus): Fields
  /** Starts what inputs run against. */
  start(corpus: Corpus, bounds: Bounds): Promise<Running<I>>
}
