/** The schema registry: Apicurio, with the Confluent REST API under /apis/ccompat/v7 and its schemas in an H2 file. */
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { javaFolder } from '../paths.ts'
import { freePort } from '../ports.ts'
import type { ServerPlan } from '../server-process.ts'
import { classArchive, javaCommand } from './jvm.ts'

/** Plans a registry with its data in `folder`, on `port` or a free one. */
export async function planRegistry(folder: string, port?: number): Promise<ServerPlan> {
  const httpPort = port ?? (await freePort())
  const address = `http://127.0.0.1:${httpPort}/apis/ccompat/v7`
  return {
    name: 'registry',
    ports: [httpPort],
    address,
    stopSignal: 'SIGTERM',
    async launch() {
      await mkdir(folder, { recursive: true })
      const archive = classArchive('registry', folder)
      const heap = ['-Xms64m', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
      return {
        command: javaCommand(),
        args: [...heap, ...archive.flags, '-jar', await runnerJar()],
        cwd: folder,
        env: { ...process.env, ...settings(folder, httpPort) },
        ...(archive.afterExit && { afterExit: archive.afterExit }),
      }
    },
    async probe() {
      const response = await fetch(`${address}/subjects`, { signal: AbortSignal.timeout(5000) })
      if (!response.ok) throw new Error(`GET /subjects answers ${response.status}`)
      await response.body?.cancel()
    },
  }
}

async function runnerJar(): Promise<string> {
  const folder = join(javaFolder, 'registry')
  const jar = (await readdir(folder)).find((file) => file.endsWith('-runner.jar'))
  if (jar === undefined)
    throw new Error(`no schema registry in ${folder}: delete the folder ${javaFolder} and run npm run setup`)
  return join(folder, jar)
}

function settings(folder: string, httpPort: number): Record<string, string> {
  return {
    QUARKUS_HTTP_HOST: '127.0.0.1',
    QUARKUS_HTTP_PORT: String(httpPort),
    QUARKUS_HTTP_ACCESS_LOG_ENABLED: 'false',
    // A busy machine opens the database slowly; after the usual 5 s the registry would give up its start.
    QUARKUS_DATASOURCE_JDBC_ACQUISITION_TIMEOUT: '60S',
    // A registration that was answered survives a kill -9: without WRITE_DELAY=0 H2 writes up to a second later.
    REGISTRY_DATASOURCE_URL: `jdbc:h2:file:${join(folder, 'registry')};WRITE_DELAY=0`,
  }
}
