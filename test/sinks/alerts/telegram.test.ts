/** What a Telegram message says, read as Telegram reads it. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readMarkdownV2 } from '../../../ops/local/markdown-v2.ts'
import type { Delivery } from '../../../sinks/alerts/channel.ts'
import { escapeMarkdown, telegramText } from '../../../sinks/alerts/telegram.ts'
import { alert } from '../records.ts'

const delivery: Delivery = { id: 'alert:1:0:fired', status: 'fired', alert, mayBeRepeat: false, originalId: undefined }

test('an alert shows title, text, rule, severity and time', () => {
  expect(readMarkdownV2(telegramText(delivery))).toBe(
    '🔴 Whale moved 5.0 M (USD)!\n\nFrom 0x11… to 0x22… [block_7]\n\nwhale-transfer · critical · 2024-08-08 00:00:00 UTC',
  )
})

test('a retraction says what it takes back and why', () => {
  const text = readMarkdownV2(telegramText({ ...delivery, status: 'retracted' }))
  expect(text).toMatch(/^RETRACTED Whale moved 5\.0 M \(USD\)!\nIts cause was removed by a chain reorganisation\./)
})

test('a message that may have arrived before says so', () => {
  expect(telegramText({ ...delivery, mayBeRepeat: true })).toContain('may be a repeat')
})

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 6_000 }),
  fc.stringMatching(/^[_*[\]()~`>#+=|{}.!\\😀a-]{0,6000}$/u),
)

test('whatever an alert says, Telegram can read it and takes its length', () => {
  fc.assert(
    fc.property(anyText, anyText, fc.constantFrom('fired', 'retracted'), (title, text, status) => {
      const message = telegramText({ ...delivery, status, alert: { ...alert, title, text } })
      expect(message.length).toBeLessThanOrEqual(4_096)
      expect(message.isWellFormed() || !(title + text).isWellFormed()).toBe(true)
      expect(() => readMarkdownV2(message)).not.toThrow()
    }),
    { numRuns: 300 },
  )
})

test('escaped text reads as it was', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      expect(readMarkdownV2(escapeMarkdown(text))).toBe(text)
    }),
  )
})

test.each([
  ['5.0', /Character '\.' is reserved/],
  ['*bold', /Can't find end of Bold entity at byte offset 0/],
  ['é _x', /Can't find end of Italic entity at byte offset 3/],
])('the receiver refuses %j as Telegram does', (markdown, description) => {
  expect(() => readMarkdownV2(markdown)).toThrow(description)
})
