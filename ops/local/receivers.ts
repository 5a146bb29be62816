/** Receivers of alerts: a server that speaks Telegram's Bot API and a signed webhook, and remembers what came. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { readMarkdownV2 } from './markdown-v2.ts'

export type ReceiverName = 'telegram' | 'webhook'

/** One message that was taken. */
export interface Received {
  readonly channel: ReceiverName
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Telegram's message_id or the webhook-id: what the outbox calls provider_id, or a delivery's id. */
  readonly id: string
  /** Of webhooks; a Telegram message does not say. */
  readonly alertId: string | undefined
  readonly status: 'fired' | 'retracted'
  readonly text: string
  /** Telegram: the message that this one answers. */
  readonly replyTo: string | undefined
  /** Webhook: the same webhook-id came before. */
  readonly repeat: boolean
}

/** What the next requests meet: an answer, a wait before a good one, or a connection cut before or after it was taken. */
export type Fault =
  | { readonly kind: 'rate-limit'; readonly retryAfterS: number }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'slow'; readonly ms: number }
  | { readonly kind: 'cut' }
  | { readonly kind: 'lost-answer' }

export interface ReceiverOptions {
  /** The bot's token, as `123456:ABC-DEF`. */
  readonly token: string
  /** The webhook's, whsec_ and base64. */
  readonly secret: string
  /** Milliseconds between messages to a chat; Telegram's 1,000 unless another is given. */
  readonly chatSpacingMs?: number
  /** A free one unless it is given. */
  readonly port?: number
}

export interface Receivers {
  /** Of the Bot API: the `baseUrl` of a Telegram channel. */
  readonly telegramUrl: string
  readonly webhookUrl: string
  received(): readonly Received[]
  /** Requests that a well-behaved sender does not make: bad signatures, bad escapes, sent before Retry-After. */
  complaints(): readonly string[]
  /** The next `times` requests to a receiver meet the fault. */
  fail(receiver: ReceiverName, fault: Fault, times?: number): void
  stop(): Promise<void>
}

interface Answer {
  readonly status: number
  readonly body: unknown
  readonly retryAfterS?: number
}

/** Starts both on one port of 127.0.0.1. */
export async function startReceivers(options: ReceiverOptions): Promise<Receivers> {
  const received: Received[] = []
  const complaints: string[] = []
  const faults: Record<ReceiverName, Fault[]> = { telegram: [], webhook: [] }
  const notBefore: Record<ReceiverName, number> = { telegram: 0, webhook: 0 }
  const bot = new TelegramBot(options, received, complaints)
  const hook = new Webhook(options, received, complaints)

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const name = request.url === '/webhook' ? 'webhook' : 'telegram'
    const body = await textOf(request)
    const take = (): Answer => (name === 'webhook' ? hook.take(request, body) : bot.take(request, body))
    if (Date.now() < notBefore[name]) complaints.push(`${name}: sent before Retry-After`)
    const fault = faults[name].shift()
    switch (fault?.kind) {
      case undefined:
        return answer(response, take())
      case 'slow':
        await sleep(fault.ms)
        return answer(response, take())
      case 'rate-limit':
        notBefore[name] = Date.now() + fault.retryAfterS * 1_000
        return answer(response, tooMany(fault.retryAfterS))
      case 'status':
        return answer(response, { status: fault.status, body: telegramError(fault.status, 'fault') })
      case 'lost-answer':
        take()
        request.socket.destroy()
        return
      case 'cut':
        request.socket.destroy()
    }
  }
  const server = createServer(
    (request, response) => void handle(request, response).catch(() => request.socket.destroy()),
  )
  await new Promise<void>((resolve, reject) =>
    server.once('error', reject).listen(options.port ?? 0, '127.0.0.1', resolve),
  )
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  return {
    telegramUrl: `http://127.0.0.1:${port}`,
    webhookUrl: `http://127.0.0.1:${port}/webhook`,
    received: () => [...received],
    complaints: () => [...complaints],
    fail: (receiver, fault, times = 1) => void faults[receiver].push(...Array.from({ length: times }, () => fault)),
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString()
}

function answer(response: ServerResponse, { status, body, retryAfterS }: Answer): void {
  response.setHeader('content-type', 'application/json')
  if (retryAfterS !== undefined) response.setHeader('retry-after', retryAfterS)
  response.writeHead(status).end(JSON.stringify(body))
}

const telegramError = (code: number, description: string, parameters?: object) => ({
  ok: false,
  error_code: code,
  description,
  ...(parameters && { parameters }),
})

const tooMany = (retryAfterS: number): Answer => ({
  status: 429,
  body: telegramError(429, `Too Many Requests: retry after ${retryAfterS}`, { retry_after: retryAfterS }),
  retryAfterS,
})

/** https://core.telegram.org/bots/api#sendmessage */
const SendMessage = z.object({
  chat_id: z.union([z.string(), z.int()]),
  text: z.string(),
  parse_mode: z.literal('MarkdownV2').optional(),
  reply_parameters: z
    .object({ message_id: z.int(), allow_sending_without_reply: z.boolean().default(false) })
    .optional(),
})

class TelegramBot {
  readonly #options: ReceiverOptions
  readonly #received: Received[]
  readonly #complaints: string[]
  readonly #openAt = new Map<string, number>()
  #messages = 0

  constructor(options: ReceiverOptions, received: Received[], complaints: string[]) {
    this.#options = options
    this.#received = received
    this.#complaints = complaints
  }

  take(request: IncomingMessage, body: string): Answer {
    const [, token, method] = /^\/bot([^/]+)\/(\w+)$/.exec(request.url ?? '') ?? []
    if (method !== 'sendMessage') return refuse(404, 'Not Found')
    if (token !== this.#options.token) return refuse(401, 'Unauthorized')
    const sent = SendMessage.safeParse(JSON.parse(body))
    if (!sent.success) return refuse(400, 'Bad Request: message text is empty')
    const { chat_id, text, parse_mode, reply_parameters: reply } = sent.data
    const plain = this.#plain(text, parse_mode)
    if (typeof plain !== 'string') return plain
    const chat = String(chat_id)
    const waitMs = (this.#openAt.get(chat) ?? 0) - Date.now()
    if (waitMs > 0) return tooMany(Math.ceil(waitMs / 1_000))
    if (reply && reply.message_id > this.#messages && !reply.allow_sending_without_reply) {
      return refuse(400, 'Bad Request: message to be replied not found')
    }
    this.#openAt.set(chat, Date.now() + (this.#options.chatSpacingMs ?? 1_000))
    const messageId = ++this.#messages
    this.#received.push({
      channel: 'telegram',
      at: Date.now(),
      id: String(messageId),
      alertId: undefined,
      status: plain.startsWith('RETRACTED') ? 'retracted' : 'fired',
      text: plain,
      replyTo: reply && String(reply.message_id),
      repeat: false,
    })
    const date = Math.floor(Date.now() / 1_000)
    return {
      status: 200,
      body: { ok: true, result: { message_id: messageId, date, chat: { id: chat_id }, text: plain } },
    }
  }

  #plain(text: string, mode: 'MarkdownV2' | undefined): string | Answer {
    try {
      const plain = mode === undefined ? text : readMarkdownV2(text)
      if (plain.trim() === '') return refuse(400, 'Bad Request: message text is empty')
      return plain.length <= 4_096 ? plain : refuse(400, 'Bad Request: message is too long')
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.#complaints.push(`telegram: ${reason}`)
      return refuse(400, `Bad Request: can't parse entities: ${reason}`)
    }
  }
}

const refuse = (status: number, description: string): Answer => ({ status, body: telegramError(status, description) })

const WebhookBody = z.object({
  type: z.string(),
  data: z.object({
    status: z.enum(['fired', 'retracted']),
    alert: z.object({ id: z.string(), title: z.string(), text: z.string() }),
  }),
})

/** Verifies as https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md asks. */
class Webhook {
  readonly #key: Buffer
  readonly #received: Received[]
  readonly #complaints: string[]
  readonly #ids = new Set<string>()

  constructor({ secret }: ReceiverOptions, received: Received[], complaints: string[]) {
    this.#key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
    this.#received = received
    this.#complaints = complaints
  }

  take({ headers }: IncomingMessage, body: string): Answer {
    const [id, time, signature] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) =>
      String(headers[name] ?? ''),
    )
    const expected = `v1,${createHmac('sha256', this.#key).update(`${id}.${time}.${body}`).digest('base64')}`
    const parsed = WebhookBody.safeParse(JSON.parse(body))
    if (!id || !same(signature ?? '', expected)) return this.#refuse('the signature does not match')
    if (Math.abs(Date.now() / 1_000 - Number(time)) > 300) return this.#refuse('the timestamp is too old or too new')
    if (!parsed.success) return this.#refuse('the body is not an alert')
    const { alert, status } = parsed.data.data
    const text = `${alert.title}\n${alert.text}`
    const repeat = this.#ids.has(id)
    this.#ids.add(id)
    this.#received.push({
      channel: 'webhook',
      at: Date.now(),
      id,
      alertId: alert.id,
      status,
      text,
      replyTo: undefined,
      repeat,
    })
    return { status: 200, body: { ok: true } }
  }

  #refuse(reason: string): Answer {
    this.#complaints.push(`webhook: ${reason}`)
    return { status: 401, body: { error: reason } }
  }
}

const same = (a: string, b: string): boolean => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
