/** `npm run fuzz -- --minutes 10 --seed 1 [--json]`: exit code 0 where nothing was broken. */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { runFuzz, showInput, type FuzzReport } from './fuzz.ts'
import type { Fault } from './findings.ts'
import { kindOf, kinds } from './kinds.ts'

const help = `npm run fuzz -- [options]

Gives hostile input to the steps and servers of this version, in processes that are watched from outside, and checks that
- no process ends, and no task takes more CPU time than it may (a tenth of RECORD_TIMEOUT_MS, so that slow machines hold it too)
- memory is bounded by the size of the input, and what is left of it does not grow
- each input is processed once or is exactly one dead letter of each step that reads it
- good records among the bad come out as they do alone, byte for byte, whatever the batches and restarts
- no output holds a number that is not finite

Kinds of input:
${kinds.map(({ name, about }) => `  ${name.padEnd(15)} ${about}`).join('\n')}

Options:
  --minutes N   begin no further batch after N minutes; 10 where neither minutes nor inputs are given
  --inputs N    inputs of each kind; the same seed and inputs always do the same
  --seed S      any text; 1 where it is not given
  --only KIND   one kind
  --index N     show what input N of the kind is and breaks, and nothing else (with --only)
  --stall-ms N  CPU time of a task, 1000 where it is not given
  --jobs N      processes side by side; cores − 1 where it is not given
  --made-up     leave recorded markets and blocks out of the corpus; inputs differ with the corpus
  --json        print one line: {"ok", "inputs": {kind: n}, "faults": []}
  --help        this

A fault names its kind, seed and index, the changes that make a good input a hostile one, and the smallest bytes that show it.
Where an input has ended a process, others like it are passed over for the rest of the run, and counted.
To add a kind, write a file in test/fuzz/kinds and a line in test/fuzz/kinds.ts.
`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    inputs: { type: 'string' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    index: { type: 'string' },
    'stall-ms': { type: 'string', default: '1000' },
    jobs: { type: 'string', default: String(Math.max(1, availableParallelism() - 1)) },
    'made-up': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

function number(name: 'minutes' | 'inputs' | 'index' | 'stall-ms' | 'jobs', otherwise: number): number {
  const text = values[name]
  const value = text === undefined ? otherwise : Number(text)
  if (Number.isNaN(value) || value < 0) throw new Error(`--${name} takes a number, not ${text}`)
  return value
}

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(help)
    return 0
  }
  const options = {
    seed: values.seed,
    kinds: values.only === undefined ? kinds : [kindOf(values.only)],
    inputs: number('inputs', Infinity),
    minutes: number('minutes', values.inputs === undefined ? 10 : Infinity),
    stallMs: number('stall-ms', 1_000),
    recordings: !values['made-up'],
    jobs: number('jobs', 1),
    onProgress: (line: string) => void process.stderr.write(`fuzz: ${line}\n`),
  }
  if (values.index !== undefined) {
    const shown = await showInput(kindOf(values.only ?? ''), options, number('index', 0))
    process.stdout.write(`${JSON.stringify(shown, undefined, 2)}\n`)
    return shown.findings.length === 0 ? 0 : 1
  }
  const report = await runFuzz(options)
  const inputs = Object.fromEntries(Object.entries(report.tallies).map(([kind, tally]) => [kind, tally.inputs]))
  if (values.json) process.stdout.write(`${JSON.stringify({ ok: report.ok, inputs, faults: report.faults })}\n`)
  else process.stdout.write(`${render(report)}\n`)
  return report.ok ? 0 : 1
}

function render({ ok, tallies, faults }: FuzzReport): string {
  const lines = Object.entries(tallies).map(
    ([kind, { inputs, passed, perSecond }]) =>
      `${kind.padEnd(15)} ${inputs} inputs, ${perSecond} a second of CPU time${passed === 0 ? '' : `, ${passed} passed over`}`,
  )
  return [...lines, '', ...faults.map(renderFault), ok ? 'no fault' : `${faults.length} faults`].join('\n')
}

function renderFault({
  kind,
  seed,
  indexes,
  what,
  where,
  detail,
  target,
  edits,
  hex,
  elsewhere,
  count,
}: Fault): string {
  const [index] = indexes
  const again = index === undefined ? '' : `  npm run fuzz -- --seed ${seed} --only ${kind} --index ${index}\n`
  const bytes = Object.entries(hex).map(([name, text]) => `    ${name}: ${text ?? 'none'}\n`)
  const which = indexes.length > 1 ? `inputs ${indexes.join(', ')} together` : `input ${index ?? 'none'}`
  return `${kind}, seed ${seed}, ${which}, seen ${count} times\n  ${what}: ${where}: ${detail}\n  ${target}: ${edits.join(', ')}\n${elsewhere.length === 0 ? '' : `  also ${elsewhere.join(', ')}\n`}${again}${bytes.join('')}`
}

try {
  process.exitCode = await main()
} catch (error) {
  const said = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.stderr.write(`fuzz: ${said}\n`, () => process.exit(2))
}
