/** Requests to the port of /metrics: whatever a browser, a scanner or a broken proxy may send. */
import type { Random } from '../../../ops/local/chain/random.ts'
import { hostileText } from '../hostile.ts'
import { latin1, requestOf, type HttpEdit, type HttpInput, type Part } from '../http-input.ts'
import { HttpRun } from '../http-run.ts'
import type { Kind } from '../kind.ts'

/** All metrics take some milliseconds. */
const paths = ['/metrics', ...Array.from({ length: 10 }).flatMap(() => ['/livez', '/readyz', '/'])]
const choices = (label: string, ...values: readonly string[]): readonly [string, readonly string[]] => [label, values]

const methods = [
  choices(
    'another method',
    'POST',
    'PUT',
    'DELETE',
    'OPTIONS',
    'TRACE',
    'PATCH',
    'HEAD',
    'PROPFIND',
    'M-SEARCH',
    'QUERY',
  ),
  choices('method CONNECT', 'CONNECT'),
  choices('method that is none', '', 'get', 'GETGETGET', 'G\0T', ' GET', 'GET\t', '\xff\xfe', 'X'.repeat(9_000), 'PRI'),
]
const targets = [
  choices('target of slashes', '//', '///', '//x', '//x:99999/', '/..//..//', '/./', '//[', '//@'),
  choices('target with a host', 'http://x/livez', 'http://[', 'http://x:99999/', 'http://%/', 'https://u:p@x/', 'x:', 'http://', 'http:\\\\x'), // prettier-ignore
  choices('target with escapes', '/%', '/%00', '/%ff', '/%zz', '/livez%', '/%2e%2e/', '/livez%0d%0a'),
  choices('target that is none', '', '*', 'livez', '?', '#', '\\', '/livez\0', '/\xff', 'x:443', '{}', '\t'),
  choices(
    'target with a query',
    '/metrics?a=b',
    '/livez?#',
    '/readyz/?',
    '/livez;x',
    '/LIVEZ',
    '/metrics/',
    '/__proto__',
  ),
  choices('long target', `/${'x'.repeat(9_000)}`, `/${'x'.repeat(70_000)}`, `/${'%41'.repeat(5_000)}`, `/?${'a=b&'.repeat(5_000)}`), // prettier-ignore
]
const versions = [
  choices('another version', 'HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/1.10', 'HTTP/9.9', 'HTTP/1.2'),
  choices(
    'version that is none',
    '',
    'http/1.1',
    'HTTP',
    'HTTP/1.1 x',
    'HTTP/1.1\0',
    'HTTP/-1',
    'ICY',
    'HTTP/1.1'.repeat(99),
  ),
]
const headerLines = [
  choices('no host', ''),
  choices(
    'two hosts',
    'Host: a\r\nHost: b\r\n',
    'Host:\r\n',
    'Host: \0\r\n',
    'Host: //\r\n',
    `Host: ${'x'.repeat(9_000)}\r\n`,
  ),
  choices('length that is none', ...['-1', 'abc', '1e3', '9'.repeat(30), '0x10', '+5', '5, 5', ''].map((n) => `Host: a\r\nContent-Length: ${n}\r\n`)), // prettier-ignore
  choices('two lengths', 'Host: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n', 'Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n'), // prettier-ignore
  choices('length without a body', 'Host: a\r\nContent-Length: 1000000\r\n'),
  choices('chunks', 'Host: a\r\nTransfer-Encoding: chunked\r\n', 'Host: a\r\nTransfer-Encoding: chunked, chunked\r\n', 'Host: a\r\nTransfer-Encoding: xchunked\r\n'), // prettier-ignore
  choices('upgrade', 'Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n', 'Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n'), // prettier-ignore
  choices('expectation', 'Host: a\r\nExpect: 100-continue\r\n', 'Host: a\r\nExpect: nonsense\r\n', 'Host: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n'), // prettier-ignore
  choices('connection', 'Host: a\r\nConnection: close\r\n', 'Host: a\r\nConnection: keep-alive, close, x\r\n', 'Host: a\r\nKeep-Alive: timeout=-1\r\n'), // prettier-ignore
  choices('header line that is none', 'Host a\r\n', ': x\r\n', 'A B: c\r\n', 'a\0b: c\r\n', 'A: b\r\n folded\r\n', '\r', 'Ä: b\r\n', 'A: \x7f\r\n'), // prettier-ignore
  choices(
    'header of a name of Object',
    '__proto__: x\r\nHost: a\r\n',
    'constructor: x\r\nhost: a\r\nhasOwnProperty: y\r\n',
  ),
  choices('many headers', `Host: a\r\n${'A: b\r\n'.repeat(900)}`, `Host: a\r\n${Array.from({ length: 2_500 }, (_, index) => `A${index}: b\r\n`).join('')}`), // prettier-ignore
  choices('long header', `Host: a\r\nA: ${'x'.repeat(15_000)}\r\n`, `Host: a\r\nA: ${'x'.repeat(90_000)}\r\n`),
]
const others: readonly (readonly [Part, readonly [string, readonly string[]]])[] = [
  ['body', choices('body', 'x', '5\r\nhello\r\n0\r\n\r\n', 'ffffffffffffffffff\r\n', '-5\r\nx\r\n', '5;x="\r\nhello\r\n0\r\nTrailer: y\r\n\r\n', '0\r\n')], // prettier-ignore
  ['body', choices('long body', 'x'.repeat(100_000), `${'1000\r\n'}${'x'.repeat(4_096)}\r\n`.repeat(40))],
  ['before', choices('bytes before', '\r\n\r\n', '\n', '\0', ' ', '\xef\xbb\xbf', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')], // prettier-ignore
  ['after', choices('requests behind', ...[1, 5, 100].map((n) => 'GET /livez HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(n)))],
  [
    'after',
    choices('requests that are none behind', 'GET // HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3), 'x', '\r\n'.repeat(5_000)),
  ],
  ['line end', choices('another line end', '\n', '\r', '\r\r\n', '\n\r')],
]
const parts: readonly (readonly [Part, readonly (readonly [string, readonly string[]])[]])[] = [
  ['method', methods],
  ['target', targets],
  ['target', targets],
  ['version', versions],
  ['headers', headerLines],
  ['headers', headerLines],
]

export const http: Kind<HttpInput> = {
  name: 'http',
  module: import.meta.url,
  about:
    'requests to the port of /metrics: methods, targets, versions, headers, bodies, split writes, requests in a row',
  batch: 1_000,
  generate(random) {
    const edits: HttpEdit[] = []
    const add = (part: HttpEdit['part'], label: string, bytes: Uint8Array): void => {
      if (!edits.some((edit) => edit.part === part)) edits.push({ part, label, bytes })
    }
    for (let count = 1 + Math.floor(4 * random.next() ** 2); count > 0; count--) {
      const [part, [label, values]] = pickPart(random)
      add(part, label, random.next() < 0.07 ? hostileText(random, '').bytes : latin1(random.pick(values)))
    }
    if (random.next() < 0.3) add('writes', 'split writes', Buffer.from(random.hex(2 * random.int(1, 8)), 'hex'))
    if (random.next() < 0.15) add('end', 'the client resets', latin1('reset'))
    else if (random.next() < 0.03) add('end', 'the client stays', latin1('stay'))
    return { target: 'health', path: random.pick(paths), edits }
  },
  fields: requestOf,
  start: () => HttpRun.start(),
}

function pickPart(random: Random): readonly [Part, readonly [string, readonly string[]]] {
  if (random.next() < 0.3) return random.pick(others)
  const [part, all] = random.pick(parts)
  return [part, random.pick(all)]
}
