/** Telegram messages through the Bot API: https://core.telegram.org/bots/api#sendmessage */
import { z } from 'zod'
import { post, type AlertChannel, type Delivery, type Outcome } from './channel.ts'

export interface TelegramOptions {
  /** Of the Bot API, https://api.telegram.org */
  readonly baseUrl: string
  readonly token: string
  readonly chatId: string
}

/** https://core.telegram.org/bots/api#making-requests */
const Answer = z.union([
  z.object({ ok: z.literal(true), result: z.object({ message_id: z.int() }) }),
  z.object({
    ok: z.literal(false),
    error_code: z.int(),
    description: z.string().default(''),
    parameters: z.object({ retry_after: z.number().optional() }).default({}),
  }),
])

/**
 * Telegram cannot tell a repeat: after an attempt without an answer the message is sent again and says that it may be
 * one. A retraction answers the message that it takes back.
 */
export function telegram({ baseUrl, token, chatId }: TelegramOptions): AlertChannel {
  const url = `${baseUrl.replace(/\/$/, '')}/bot${token}/sendMessage`
  const isGroup = chatId.startsWith('-') || chatId.startsWith('@')
  return {
    target: `${url} ${chatId}`,
    // https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
    pace: { spacingMs: 1_000, ...(isGroup && { perMinute: 20 }) },
    async send(delivery) {
      const body = {
        chat_id: chatId,
        text: telegramText(delivery),
        parse_mode: 'MarkdownV2',
        link_preview_options: { is_disabled: true },
        ...(delivery.originalId !== undefined && {
          reply_parameters: { message_id: Number(delivery.originalId), allow_sending_without_reply: true },
        }),
      }
      const answer = await post(url, {}, JSON.stringify(body))
      return 'kind' in answer ? answer : outcomeOf(answer.status, answer.text)
    },
  }
}

function outcomeOf(status: number, text: string): Outcome {
  const answer = Answer.safeParse(parseJson(text)).data
  if (answer?.ok === true) return { kind: 'sent', providerId: String(answer.result.message_id) }
  const error = answer ? `${answer.error_code} ${answer.description}` : `answered ${status}`
  const seconds = answer?.parameters.retry_after
  // The message itself is at fault; a chat that is not found, a wrong token or a ban are not, and a person can mend them.
  if (status === 400 && !/chat not found|migrated|upgraded/i.test(error)) return { kind: 'rejected', error }
  const afterMs = seconds === undefined ? (status < 500 ? 60_000 : undefined) : seconds * 1_000
  return { kind: 'retry', error, uncertain: status >= 500, holds: 'channel', ...(afterMs !== undefined && { afterMs }) }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** https://core.telegram.org/bots/api#sendmessage */
const longest = 4_096
const longestTitle = 512

const marks = new Map([
  ['info', '🔵'],
  ['warning', '🟠'],
  ['critical', '🔴'],
])

/** A message in MarkdownV2, whole: escaped first, then shortened where no escape and no entity is cut. */
export function telegramText({ alert, status, mayBeRepeat }: Delivery): string {
  const mark = marks.get(alert.severity) ?? '⚪'
  const title = shorten(escapeMarkdown(alert.title), longestTitle)
  const head =
    status === 'fired'
      ? `${mark} *${title}*`
      : `*RETRACTED* ~${title}~\nIts cause was removed by a chain reorganisation\\.`
  const time = new Date(alert.ts / 1_000)
    .toISOString()
    .replace(/\.\d+Z$/, ' UTC')
    .replace('T', ' ')
  const notes = [alert.rule, alert.severity, time, ...(mayBeRepeat ? ['may be a repeat'] : [])]
  const foot = `_${escapeMarkdown(notes.join(' · '))}_`
  const room = longest - head.length - foot.length - 4
  const body = status === 'fired' ? shorten(escapeMarkdown(alert.text), room) : ''
  return [head, body, foot].filter((part) => part !== '').join('\n\n')
}

/** https://core.telegram.org/bots/api#markdownv2-style */
export const escapeMarkdown = (text: string): string => text.replace(/[_*[\]()~`>#+\-=|{}.!\\]/g, '\\$&')

/** Cuts escaped text to at most `length` UTF-16 units, between characters. */
function shorten(escaped: string, length: number): string {
  if (escaped.length <= length) return escaped
  let end = 0
  for (const [unit] of escaped.matchAll(/\\?./gsu)) {
    if (end + unit.length > length - 1) break
    end += unit.length
  }
  return `${escaped.slice(0, end)}…`
}
