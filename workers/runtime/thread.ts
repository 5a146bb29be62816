/** The entry of a worker thread: holds the slots that live here and runs their tasks. */
import { workerData } from 'node:worker_threads'
import { move, transferableSymbol, valueSymbol } from 'piscina'
import type { Processor, Topic } from './definitions.ts'
import { FatalError } from './errors.ts'
import type { Change } from './state/engine.ts'
import { SlotTask, type TaskResult } from './slot-task.ts'
import { failing } from './test-errors.ts'
import { threadId } from './thread-time.ts'

/** Makes a slot live in this thread. */
export interface OpenRequest {
  readonly op: 'open'
  readonly slot: string
  readonly module: string
  readonly step: string
  readonly topic: string
  readonly settings: unknown
  readonly schemaIds: ReadonlyMap<string, number>
  readonly stored: readonly (readonly [string, string])[]
  /** Ids of the records that were left out. */
  readonly leftOut?: readonly string[]
  /** Whether calls into the step that throw are undone, which costs something; else the task is given up. */
  readonly careful?: boolean
}

/** Runs a packed task. */
export interface RunRequest {
  readonly op: 'run'
  readonly slot: string
  /** Counts the tasks of the thread; for its watch. */
  readonly number: number
  readonly task: ArrayBuffer
  readonly origins: readonly string[]
  readonly schemas: readonly (readonly [number, string])[]
}

/** What a slot asks for; the host numbers it. */
export type ThreadTask = Omit<RunRequest, 'number'>

export interface ChangesRequest {
  readonly op: 'changes'
  readonly slot: string
}

export interface CloseRequest {
  readonly op: 'close'
  readonly slot: string
}

/**
 * Memory shared with the host: the number of the task that runs, the offset that it is at (-1 between tasks), 1 where the message
 * at that offset cannot be left out, and the thread's own number.
 */
export type ThreadWatch = Float64Array<SharedArrayBuffer>

export type ThreadRequest = OpenRequest | RunRequest | ChangesRequest | CloseRequest
export type RunAnswer = TaskResult & { readonly runMs: number }
export type ThreadAnswer = RunAnswer | readonly Change[] | undefined | Transferred
type Transferred = ReturnType<typeof move>

const between = -1
const watch: ThreadWatch = workerData
watch[3] = threadId()
const slots = new Map<string, SlotTask>()

/** Called by piscina with each request of the host; in order, since a slot always lives in one thread. */
export default async function handle(request: ThreadRequest): Promise<ThreadAnswer> {
  switch (request.op) {
    case 'open':
      slots.set(request.slot, await open(request))
      return undefined
    case 'run':
      return run(request)
    case 'changes':
      return slotOf(request.slot).changes()
    case 'close':
      slots.delete(request.slot)
      return undefined
  }
}

async function open({
  module,
  step,
  topic: name,
  settings,
  schemaIds,
  stored,
  leftOut = [],
  careful = false,
}: OpenRequest): Promise<SlotTask> {
  const processor = await importProcessor(module, step)
  const topic: Topic | undefined = processor.inputs.find((input) => input.name === name)
  if (topic === undefined) throw new FatalError('topology', `${step} does not read ${name}`)
  return new SlotTask({
    processor,
    topic,
    settings,
    schemaIds,
    stored,
    leftOut,
    careful,
    at: (offset, required) => {
      watch[1] = offset
      watch[2] = required ? 1 : 0
    },
  })
}

function run({ slot, number, task, origins, schemas }: RunRequest): Transferred {
  const started = performance.now()
  const target = slotOf(slot)
  target.learn(schemas)
  watch[0] = number
  const result = target.run(task, origins)
  watch[1] = between
  return move(new Moved({ ...result, runMs: performance.now() - started }))
}

/** Tells piscina to transfer the outputs of an answer instead of cloning them. */
class Moved {
  readonly #answer: RunAnswer

  constructor(answer: RunAnswer) {
    this.#answer = answer
  }

  get [transferableSymbol](): object {
    return this.#answer.outputs
  }

  get [valueSymbol](): object {
    return this.#answer
  }
}

function slotOf(name: string): SlotTask {
  const slot = slots.get(name)
  if (slot === undefined) throw new FatalError('state', `no slot ${name} lives in this thread`)
  return slot
}

/** @returns the processor called `step` among the exports of its file. */
async function importProcessor(module: string, step: string): Promise<Processor> {
  const exports: Record<string, unknown> = await import(module)
  for (const value of Object.values(exports)) if (isProcessor(value) && value.name === step) return failing(value)
  throw new FatalError('topology', `${module} exports no processor called ${step}`)
}

const isProcessor = (value: unknown): value is Processor =>
  typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'processor'
