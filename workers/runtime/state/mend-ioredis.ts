/**
 * Keeps ioredis 6 from slowing every loop over a string's characters in the process. It declares `class VerbatimString extends
 * String`, and once anything inherits from String.prototype V8 (Node 24) no longer compiles `charCodeAt` in place: measured,
 * 10 instead of 2 ns a character, half as much again for a whole record of a connector. Encoding, decimals and COPY are
 * such loops. Import this before ioredis.
 *
 * The class stands only for replies that a client asks to have typed (RESP3's verbatim strings with a type mapping); we do not.
 */
import { createRequire, Module } from 'node:module'

const require = createRequire(import.meta.url)
const path = require.resolve('ioredis/built/resp/verbatim-string.js')

if (require.cache[path] === undefined) {
  const module = new Module(path)
  module.filename = path
  module.loaded = true
  module.exports = { VerbatimString: class VerbatimString {} }
  require.cache[path] = module
}
