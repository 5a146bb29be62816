/** What the main loop and a process that runs inputs tell each other. */
import type { Passed } from './generate.ts'
import type { Bounds, Finding, Input } from './kind.ts'

export interface Setup {
  readonly kind: string
  /** The kind's file. */
  readonly module: string
  readonly seed: string
  readonly corpusFile: string
  /** Where the process says which inputs it is at. */
  readonly progressFile: string
  readonly bounds: Bounds
}

export type Request =
  | { readonly op: 'setup'; readonly setup: Setup }
  /** Runs the inputs of some indexes together. */
  | { readonly op: 'range'; readonly from: number; readonly to: number; readonly passed: readonly Passed[] }
  /** Runs these inputs together, or each alone. */
  | { readonly op: 'inputs'; readonly inputs: readonly Input[]; readonly singly?: true }

export interface Answer {
  /** Indexes of a range are those of the seed, others count from 0. */
  readonly findings: readonly Finding[]
  readonly ran: number
  readonly passed: number
  /** CPU time of the run in milliseconds. */
  readonly cpuMs: number
}
