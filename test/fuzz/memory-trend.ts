/** Whether a process's memory stays bounded over many runs: what is left after a collection, and the peak. */
import { getHeapStatistics } from 'node:v8'
import type { Finding } from './kind.ts'

const mebibyte = 1_024 ** 2
/** Runs in which caches fill and code is compiled. */
const warmUp = 3
const window = 3
/** What may be left may grow so far, and the peak of the process beyond that of the warm-up. */
const [growth, growthBytes, peakBytes] = [1.5, 32 * mebibyte, 384 * mebibyte]

export class MemoryTrend {
  readonly #left: number[] = []
  #peak: number | undefined

  /** Called after each run. @returns what is wrong, if anything */
  look(): Finding[] {
    globalThis.gc?.()
    const { used_heap_size: heap, external_memory: external } = getHeapStatistics()
    this.#left.push(heap + external)
    const peak = process.resourceUsage().maxRSS * 1_024
    if (this.#left.length < warmUp + window) {
      this.#peak = peak
      return []
    }
    const [first, last] = [this.#left.slice(warmUp, warmUp + window), this.#left.slice(-window)].map(median)
    const findings: Finding[] = []
    const say = (detail: string): void =>
      void findings.push({ what: 'memory grows', where: 'process', detail, among: [] })
    if (first !== undefined && last !== undefined && last > growth * first + growthBytes)
      say(`${inMebibytes(last)} are left after a collection, ${inMebibytes(first)} in the beginning`)
    if (this.#peak !== undefined && peak > this.#peak + peakBytes)
      say(`the process took up to ${inMebibytes(peak)}, ${inMebibytes(this.#peak)} in the beginning`)
    return findings
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
const inMebibytes = (bytes: number): string => `${Math.round(bytes / mebibyte)} MiB`
