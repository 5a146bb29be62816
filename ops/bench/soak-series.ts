/** What a soak measures over time: its start, middle and end, its slope, and whether it is flat. */
import { figure, median, round, type Figure } from './report.ts'

/** A value at a time, in hours since the warm-up ended. */
export interface Point {
  readonly hours: number
  readonly value: number
}

export interface Series {
  readonly name: string
  readonly unit: string
  readonly points: readonly Point[]
  /** Growth up to which it is no matter, in its unit; undefined: it is shown and not judged. */
  readonly slack: number | undefined
}

/** A series as a figure: the value is its end, the reference its start; medians of the last and first fifth, means of what is not judged. */
export interface SoakFigure extends Figure {
  readonly middle: number
  /** Slope of the line of least squares. */
  readonly perHour: number
  /** What that line gains in 30 minutes, in percent of the mean. */
  readonly growthPercent: number
  /** Undefined where it is not judged. */
  readonly flat?: boolean
  readonly shown: true
}

export const judgedHours = 0.5
const mostGrowth = 0.1
/** Of the slope's standard error: a slope within it may be chance. */
const deviations = 2

export const criterion =
  `flat: the line of least squares gains at most ${mostGrowth * 100} % of the mean in ${judgedHours * 60} minutes, or no more than ` +
  `the series' slack, or no more than ${deviations} standard errors of its slope`

export function soakFigure({ name, unit, points, slack }: Series): SoakFigure {
  const values = points.map(({ value }) => value)
  const part = (from: number, to: number): number[] =>
    values.slice(Math.floor(values.length * from), Math.ceil(values.length * to))
  const { slope, error } = leastSquares(points)
  const gain = slope * judgedHours
  const mean = average(values)
  const growthPercent = mean === 0 ? 0 : round((gain / mean) * 100)
  // What happens now and then has a mean, and a median of 0.
  const of = (some: readonly number[]): number => (slack === undefined ? average(some) : median(some))
  const base = figure(name, unit, [of(part(0.8, 1))], 'start', [of(part(0, 0.2))])
  const measured = { ...base, middle: round(of(part(0.4, 0.6))), perHour: round(slope), growthPercent, shown: true } as const // prettier-ignore
  if (slack === undefined) return measured
  const flat = gain <= Math.max(mostGrowth * Math.abs(mean), slack, deviations * error * judgedHours)
  return { ...measured, aim: 'flat', flat }
}

const average = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** https://en.wikipedia.org/wiki/Simple_linear_regression: slope and its standard error. */
export function leastSquares(points: readonly Point[]): { slope: number; error: number } {
  const n = points.length
  const meanX = points.reduce((sum, { hours }) => sum + hours, 0) / n
  const meanY = points.reduce((sum, { value }) => sum + value, 0) / n
  const spread = points.reduce((sum, { hours }) => sum + (hours - meanX) ** 2, 0)
  if (n < 3 || spread === 0) return { slope: 0, error: 0 }
  const slope = points.reduce((sum, { hours, value }) => sum + (hours - meanX) * (value - meanY), 0) / spread
  const residues = points.reduce((sum, { hours, value }) => sum + (value - meanY - slope * (hours - meanX)) ** 2, 0)
  return { slope, error: Math.sqrt(residues / (n - 2) / spread) }
}

/** The figures for people, one row each. */
export function soakTable(figures: readonly SoakFigure[]): string[] {
  const rows = figures.map(({ name, unit, referenceValue, middle, value, perHour, growthPercent, flat }) => [
    `${name} [${unit}]`,
    ...[referenceValue, middle, value, perHour].map((number) => number.toLocaleString('en')),
    `${growthPercent} %`,
    flat === undefined ? '' : flat ? 'flat' : 'GROWS',
  ])
  const head = ['', 'start', 'middle', 'end', 'per hour', 'in 30 min', 'verdict']
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)))
  return [head, ...rows].map((row) =>
    row
      .map((cell, column) =>
        column === 0 || column === 6 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  )
}
