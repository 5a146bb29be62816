/** Where the local stack finds its programs and keeps its files. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The checkout. */
export const projectFolder = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** What `ops/local/setup.mjs` installs, and by default the data and logs of the servers. Git ignores it. */
export const localFolder = join(projectFolder, '.local')

/** Kafka's and the schema registry's jars, and the class archives that make them start faster. */
export const javaFolder = join(localFolder, 'java')
