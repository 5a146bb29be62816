/** Where the local stack finds its programs and keeps its files. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The checkout. */
export const projectFolder = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** What `ops/local/setup.mjs` installs, and by default the data and logs of the servers. Git ignores it. */
export const localFolder = join(projectFolder, '.local')

/**
 * Makes a worker process smaller by some 40 MB: TypeScript that was compiled before is taken from a folder, so that the
 * compiler is not loaded (https://nodejs.org/api/module.html#module-compile-cache), and freed memory is kept in two
 * places instead of eight a core (mallopt(3), M_ARENA_MAX).
 */
export const leanWorker = { NODE_COMPILE_CACHE: join(localFolder, 'compiled'), MALLOC_ARENA_MAX: '2' }

/** Kafka's and the schema registry's jars, and the class archives that make them start faster. */
export const javaFolder = join(localFolder, 'java')
