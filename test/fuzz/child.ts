/** The process that runs inputs: what they do to it is watched from outside. */
import { openSync, writeSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { loadCorpus, type Corpus } from './corpus.ts'
import { inputOf, isLike } from './generate.ts'
import type { Finding, Kind, Running } from './kind.ts'
import { MemoryTrend } from './memory-trend.ts'
import type { Answer, Request, Setup } from './protocol.ts'

interface Ready {
  readonly setup: Setup
  readonly kind: Kind
  readonly corpus: Corpus
  readonly running: Running
  readonly progress: number
  readonly memory: MemoryTrend
}

let ready: Ready | undefined
/** So that each step of a run differs from the one before. */
let steps = 0

process.on('message', (request: Request) => {
  void handle(request).then((answer) => process.send?.(answer))
})
// A loop without an end would outlive whoever watches it.
new Worker(new URL('end-with-parent.ts', import.meta.url), { workerData: process.ppid }).unref()

async function handle(request: Request): Promise<Answer> {
  if (request.op === 'setup') {
    ready = await setUp(request.setup)
    return { findings: [], ran: 0, passed: 0, cpuMs: 0 }
  }
  if (ready === undefined) throw new Error('nothing is set up')
  const { kind, corpus, setup, memory } = ready
  if (request.op === 'inputs') {
    const numbered = request.inputs.map((input, index) => [index, input] as const)
    if (request.singly !== true) return run(ready, numbered, 0)
    const answers: Answer[] = []
    for (const one of numbered) answers.push(await run(ready, [one], 0))
    return { findings: answers.flatMap(({ findings }) => findings), ran: answers.length, passed: 0, cpuMs: 0 }
  }
  const cpu = process.cpuUsage()
  const all = Array.from({ length: request.to - request.from }, (_, index) => {
    const number = request.from + index
    return [number, inputOf(kind, setup.seed, number, corpus)] as const
  })
  const chosen = all.filter(([, input]) => !request.passed.some((passed) => isLike(input, passed)))
  const answer = await run(ready, chosen, all.length - chosen.length)
  const findings = [...answer.findings, ...memory.look()]
  const { user, system } = process.cpuUsage(cpu)
  return { ...answer, findings, cpuMs: (user + system) / 1_000 }
}

async function setUp(setup: Setup): Promise<Ready> {
  const kind = await importKind(setup)
  const corpus = loadCorpus(setup.corpusFile)
  const running = await kind.start(corpus, setup.bounds)
  return { setup, kind, corpus, running, progress: openSync(setup.progressFile, 'r+'), memory: new MemoryTrend() }
}

async function importKind({ kind: name, module }: Setup): Promise<Kind> {
  const exports: Record<string, unknown> = await import(module)
  for (const value of Object.values(exports)) if (isKind(value) && value.name === name) return value
  throw new Error(`${module} exports no kind ${name}`)
}

const isKind = (value: unknown): value is Kind =>
  typeof value === 'object' && value !== null && 'generate' in value && 'fields' in value

async function run(
  { running, progress }: Ready,
  numbered: readonly (readonly [number: number, input: Parameters<Running['run']>[0][number]])[],
  passed: number,
): Promise<Answer> {
  const numberOf = (index: number): number => numbered[index]?.[0] ?? -1
  const found = await running.run(
    numbered.map(([, input]) => input),
    (indexes) => void writeSync(progress, `${++steps} ${indexes.map(numberOf).join()}\n`, 0),
  )
  const findings = found.map((one): Finding => ({ ...one, among: one.among.map(numberOf) }))
  return { findings, ran: numbered.length, passed, cpuMs: 0 }
}
