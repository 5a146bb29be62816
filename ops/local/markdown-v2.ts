/** Telegram's MarkdownV2 as its server reads it, for the receiver that stands in: what it shows, or why it refuses. */

/** Opening marks, longest first, and what Telegram calls them. */
const entities = [
  ['```', 'Pre'],
  ['__', 'Underline'],
  ['||', 'Spoiler'],
  ['*', 'Bold'],
  ['_', 'Italic'],
  ['~', 'Strikethrough'],
  ['`', 'Code'],
] as const

const reserved = new Set('_*[]()~`>#+-=|{}.!')
const link = /^\[((?:\\.|[^\]\\])*)\]\((?:\\.|[^)\\])*\)/s

/**
 * @returns the text without its marks
 * @throws an Error with Telegram's description (https://core.telegram.org/bots/api#markdownv2-style)
 */
export function readMarkdownV2(markdown: string): string {
  const open: { readonly mark: string; readonly name: string; readonly at: number }[] = []
  let text = ''
  for (let at = 0; at < markdown.length;) {
    const rest = markdown.slice(at)
    const inner = open.at(-1)
    const verbatim = inner?.mark === '`' || inner?.mark === '```'
    const escaped = /^\\([ -~])/.exec(rest)
    const linked = verbatim ? null : link.exec(rest)
    const mark = verbatim
      ? entities.find(([m]) => m === inner.mark && rest.startsWith(m))
      : entities.find(([m]) => rest.startsWith(m))
    if (escaped) {
      text += escaped[1]
      at += 2
    } else if (linked) {
      text += readMarkdownV2(linked[1] ?? '')
      at += linked[0].length
    } else if (mark && inner?.mark === mark[0]) {
      open.pop()
      at += mark[0].length
    } else if (mark && !open.some((entity) => entity.mark === mark[0])) {
      open.push({ mark: mark[0], name: mark[1], at })
      at += mark[0].length
    } else {
      const character = rest.charAt(0)
      if (!verbatim && reserved.has(character)) {
        throw new Error(`Character '${character}' is reserved and must be escaped with the preceding '\\'`)
      }
      text += character
      at += 1
    }
  }
  const unfinished = open.at(-1)
  if (unfinished === undefined) return text
  const offset = Buffer.byteLength(markdown.slice(0, unfinished.at))
  throw new Error(`Can't find end of ${unfinished.name} entity at byte offset ${offset}`)
}
