/** The live view of the demo in a terminal. */
import type { Tables } from './database.ts'
import type { StepReading } from './readings.ts'

export interface Frame {
  readonly elapsedS: number
  readonly steps: readonly StepReading[]
  readonly before: readonly StepReading[]
  readonly secondsBetween: number
  readonly eventToRow: { p50: number | null; p99: number | null }
  readonly eventToAlert: { p50: number | null; p99: number | null }
  readonly latest: Latest
}

export interface Latest {
  readonly risks: readonly string[]
  readonly patterns: readonly string[]
  readonly signals: readonly string[]
  readonly alerts: readonly string[]
}

const rows = 4

/** Reads what was found last. */
export async function readLatest(tables: Tables): Promise<Latest> {
  const lines = async (sql: string): Promise<string[]> =>
    (await tables.query<{ line: string }>(`${sql} LIMIT ${rows}`)).map(({ line }) => line)
  const [risks, patterns, signals, alerts] = await Promise.all([
    lines(`SELECT * FROM (
             SELECT to_char(ts, 'HH24:MI:SS') || '  ' || rpad(symbol, 12) || 'volatility ' || to_char(volatility * 100, '0.000') || ' %  VaR 99 % '
                    || to_char(value_at_risk * 100, '0.000') || ' %  drawdown ' || to_char(drawdown * 100, '90.00') || ' %' AS line, ts FROM risk_markets
             UNION ALL
             SELECT to_char(ts, 'HH24:MI:SS') || '  ' || wallet || '  score ' || to_char(score, '990') || ' ' || level, ts FROM risk_wallets) AS risk
           ORDER BY ts DESC`),
    lines(
      `SELECT to_char(ts, 'HH24:MI:SS') || '  ' || rpad(pattern, 19) || summary AS line FROM pattern_matches ORDER BY ts DESC`,
    ),
    lines(
      `SELECT to_char(ts, 'HH24:MI:SS') || '  ' || rpad(symbol, 12) || rpad(direction, 6) || to_char(strength, '0.00') || '  ' || reason AS line FROM trade_signals ORDER BY ts DESC`,
    ),
    lines(`SELECT to_char(created_at, 'HH24:MI:SS') || '  ' || rpad(channel, 10) || rpad(status, 10) || CASE WHEN removed THEN 'retracts ' ELSE '' END
                  || coalesce(payload->>'title', alert_id) AS line FROM alert_outbox ORDER BY id DESC`),
  ])
  return { risks, patterns, signals, alerts }
}

/** @returns the frame as text, cut to the terminal's width. */
export function render(frame: Frame, width: number): string {
  const ms = (value: number | null): string => (value === null ? '–' : `${Math.round(value)} ms`)
  const lines = [
    `crypto-intel demo, ${Math.round(frame.elapsedS)} s   event → row p50 ${ms(frame.eventToRow.p50)} p99 ${ms(frame.eventToRow.p99)}   event → alert p50 ${ms(frame.eventToAlert.p50)} p99 ${ms(frame.eventToAlert.p99)}   Ctrl-C ends`,
    '',
    `${'step'.padEnd(28)}${'in/s'.padStart(9)}${'out/s'.padStart(9)}${'lag'.padStart(8)}${'errors'.padStart(8)}`,
    ...frame.steps.map((step) => {
      const before = frame.before.find(({ name }) => name === step.name)
      const rate = (now: number, then = 0): string =>
        ((now - then) / Math.max(0.1, frame.secondsBetween)).toFixed(0).padStart(9)
      return `${step.name.padEnd(28)}${rate(step.in, before?.in)}${rate(step.out, before?.out)}${String(step.lag).padStart(8)}${String(step.errors).padStart(8)}`
    }),
    ...section('risks', frame.latest.risks),
    ...section('patterns', frame.latest.patterns),
    ...section('signals', frame.latest.signals),
    ...section('alerts', frame.latest.alerts),
  ]
  return lines.map((line) => line.slice(0, width)).join('\n')
}

const section = (title: string, lines: readonly string[]): string[] => [
  '',
  title,
  ...(lines.length === 0 ? ['  none yet'] : lines.map((line) => `  ${line}`)),
]

/** Draws over what was there. */
export function draw(text: string): void {
  process.stdout.write(`\x1b[H\x1b[J${text}\n`)
}
