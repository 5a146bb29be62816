/** Where the local stack finds its programs and keeps its files. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The checkout. */
export const projectFolder = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** What `ops/local/setup.mjs` installs, and by default the data and logs of the servers. Git ignores it. */
export const localFolder = join(projectFolder, '.local')

/**
 * Makes a worker process smaller by some 100 MB. TypeScript that was compiled before is taken from a folder, so that the
 * compiler is not loaded (https://nodejs.org/api/module.html#module-compile-cache); freed memory is kept in two places
 * instead of eight a core (mallopt(3), M_ARENA_MAX); the space of young objects does not grow beyond 2 × 8 MB a thread.
 */
export const leanWorker = {
  NODE_COMPILE_CACHE: join(localFolder, 'compiled'),
  MALLOC_ARENA_MAX: '2',
  NODE_OPTIONS: '--max-semi-space-size=8',
}

/** Kafka's and the schema registry's jars, and the class archives that make them start faster. */
export const javaFolder = join(localFolder, 'java')
