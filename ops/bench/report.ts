/** What a bench hands back: figures beside their references, and the machine they were measured on. */
import { availableParallelism, cpus, loadavg } from 'node:os'

export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly reference: string
  readonly referenceValue: number
  /** value / referenceValue */
  readonly ratio: number
  /** What the project aims at, where it has said so. */
  readonly aim?: string
  /** The bench has a table of its own for it. */
  readonly shown?: true
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly node: string
  readonly date: string
  /** Load averages of a minute, before and after: others may have used the machine. */
  readonly load: readonly [before: number, after: number]
}

export interface Report {
  readonly bench: string
  readonly machine: Machine
  readonly figures: readonly Figure[]
}

/** What each bench is given. */
export interface BenchOptions {
  /** Told what is going on. */
  readonly say: (line: string) => void
  /** Folder for CPU profiles of the processes that are measured. */
  readonly profiles: string | undefined
  /** How often each thing is measured; a bench has its own number. */
  readonly rounds: number | undefined
  /** How long a soak lasts after its warm-up; it has its own number. */
  readonly minutes?: number | undefined
  /** Records a second of a soak; it has its own number. */
  readonly rate?: number | undefined
}

export function figure(
  name: string,
  unit: string,
  values: readonly number[],
  reference: string,
  references: readonly number[],
  aim?: string,
): Figure {
  const [value, referenceValue] = [median(values), median(references)]
  const ratio = round(value / referenceValue)
  const measured = { name, value: round(value), unit, reference, referenceValue: round(referenceValue), ratio }
  return aim === undefined ? measured : { ...measured, aim }
}

export function machine(loadBefore: number): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
    load: [round(loadBefore), round(loadNow())],
  }
}

export const loadNow = (): number => loadavg()[0] ?? 0

/** Three significant digits, whole numbers whole. */
export const round = (value: number): number =>
  Math.abs(value) >= 1_000 ? Math.round(value) : Number(value.toPrecision(3))

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low, high] = [sorted[middle - 1] ?? NaN, sorted[middle] ?? NaN]
  return sorted.length % 2 === 1 ? high : (low + high) / 2
}

/** Quantile by the nearest rank. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? NaN
}

/** The report for people: one line a figure. */
export function table({ machine: { cpu, cores, node, load }, figures }: Report): string[] {
  return [
    ...figures
      .filter(({ shown }) => shown !== true)
      .map(({ name, value, unit, reference, referenceValue, ratio, aim }) => {
        const shown = `${name}: ${value.toLocaleString('en')} ${unit}`
        const beside = `${reference}: ${referenceValue.toLocaleString('en')}`
        return `${shown}, ${beside}, ratio ${ratio}${aim === undefined ? '' : ` (aim ${aim})`}`
      }),
    `${cores} × ${cpu}, Node ${node}, load ${load[0]} before and ${load[1]} after`,
  ]
}

/** CPU time of this thread since `start`: what others do on the machine changes it little. */
export function cpuSeconds(start: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(start)
  return (user + system) / 1e6
}
