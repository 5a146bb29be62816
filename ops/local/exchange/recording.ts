/** Reads recordings of combined streams: lines of local nanoseconds, a space and the frame, gzip or plain. */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { createGunzip } from 'node:zlib'
import { z } from 'zod'

const Level = z.tuple([z.string(), z.string()])
const Snapshot = z.object({ lastUpdateId: z.int(), bids: z.array(Level), asks: z.array(Level) })
const Trade = z.object({
  e: z.literal('trade'),
  s: z.string(),
  t: z.int(),
  p: z.string(),
  q: z.string(),
  T: z.int(),
  m: z.boolean(),
})
const DepthUpdate = z.object({
  e: z.literal('depthUpdate'),
  s: z.string(),
  U: z.int(),
  u: z.int(),
  b: z.array(Level),
  a: z.array(Level),
})
const Frame = z.object({ stream: z.string(), data: z.looseObject({ E: z.int().optional(), s: z.string() }) })

export type RecordedTrade = z.infer<typeof Trade>
export type RecordedDepth = z.infer<typeof DepthUpdate>
export type RecordedSnapshot = z.infer<typeof Snapshot>

export interface RecordedFrame {
  readonly kind: 'frame'
  /** The recorder's clock in milliseconds. */
  readonly at: number
  readonly stream: string
  readonly symbol: string
  /** The payload, character for character. */
  readonly payload: string
  /** The venue's event time, where the payload has one. */
  readonly eventTime: number | undefined
  readonly trade: RecordedTrade | undefined
  readonly depth: RecordedDepth | undefined
}

export type RecordedLine =
  RecordedFrame | { readonly kind: 'snapshot'; readonly at: number; readonly snapshot: RecordedSnapshot }

/**
 * The lines of a recording, in order, one at a time in memory.
 * @throws Error that names the file and the line that is malformed
 */
export async function* readRecording(file: string): AsyncGenerator<RecordedLine> {
  const zipped = await isGzip(file)
  const bytes = createReadStream(file)
  const input = zipped ? bytes.pipe(createGunzip()) : bytes
  bytes.on('error', (error) => input.destroy(error))
  let number = 0
  for await (const line of createInterface({ input, crlfDelay: Infinity })) {
    number++
    if (line === '') continue
    try {
      yield parseLine(line)
    } catch (error) {
      throw new Error(`${file}:${number} is not a recorded combined-stream frame`, { cause: error })
    }
  }
}

function parseLine(line: string): RecordedLine {
  const space = line.indexOf(' ')
  const at = Number(line.slice(0, space)) / 1e6
  if (!Number.isFinite(at) || space < 1) throw new Error('expected nanoseconds, a space and JSON')
  const text = line.slice(space + 1)
  const json: unknown = JSON.parse(text)
  const snapshot = Snapshot.safeParse(json)
  if (snapshot.success) return { kind: 'snapshot', at, snapshot: snapshot.data }
  const { stream, data } = Frame.parse(json)
  return {
    kind: 'frame',
    at,
    stream,
    symbol: data.s,
    payload: text.slice(text.indexOf('"data":') + '"data":'.length, text.lastIndexOf('}')),
    eventTime: data.E,
    trade: stream.endsWith('@trade') ? Trade.parse(data) : undefined,
    depth: data['e'] === 'depthUpdate' ? DepthUpdate.parse(data) : undefined,
  }
}

async function isGzip(file: string): Promise<boolean> {
  await using handle = await open(file)
  const { buffer } = await handle.read(Buffer.alloc(2), 0, 2, 0)
  return buffer[0] === 0x1f && buffer[1] === 0x8b
}
