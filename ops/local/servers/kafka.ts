/** Apache Kafka: one node in KRaft mode, broker and controller in one process. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { javaFolder } from '../paths.ts'
import { freePort } from '../ports.ts'
import type { ServerPlan } from '../server-process.ts'
import { classArchive, javaCommand } from './jvm.ts'

/** A block of a busy chain with all its receipts is one message. */
const maxMessageBytes = 16 * 1024 * 1024

const classPath = join(javaFolder, 'kafka', '*')

/**
 * Plans a broker with its data in `folder`, on `port` or a free one.
 * @param advertisedPort where clients are told to find it, if not there: a proxy's port
 */
export async function planKafka(folder: string, port?: number, advertisedPort?: number): Promise<ServerPlan> {
  const brokerPort = port ?? (await freePort())
  const controllerPort = await freePort()
  const address = `127.0.0.1:${brokerPort}`
  const properties = join(folder, 'server.properties')
  return {
    name: 'kafka',
    ports: [brokerPort, controllerPort],
    address,
    stopSignal: 'SIGTERM',
    async launch() {
      await mkdir(folder, { recursive: true })
      await writeFile(properties, brokerProperties(brokerPort, controllerPort, join(folder, 'log'), advertisedPort))
      await formatOnce(folder)
      const archive = classArchive('kafka', folder)
      // The first compiler alone: on two cores the second one costs more than it gives in the first 300,000 messages (4.9 s of CPU
      // against 2.0 s), and half a second of the start.
      const heap = ['-Xms128m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
      const logging = ['showDateTime=true', 'dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS', 'defaultLogLevel=warn'].map(
        (setting) => `-Dorg.slf4j.simpleLogger.${setting}`,
      )
      return {
        command: javaCommand(),
        args: [...heap, ...archive.flags, ...logging, '-cp', classPath, 'kafka.Kafka', properties],
        cwd: folder,
        ...(archive.afterExit && { afterExit: archive.afterExit }),
      }
    },
    probe: () => probeKafka(brokerPort),
  }
}

function brokerProperties(
  brokerPort: number,
  controllerPort: number,
  logFolder: string,
  advertisedPort = brokerPort,
): string {
  const entries: Record<string, string | number | boolean> = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://127.0.0.1:${brokerPort},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${advertisedPort}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': logFolder,
    'auto.create.topics.enable': false,
    'log.message.timestamp.type': 'LogAppendTime',
    'message.max.bytes': maxMessageBytes,
    'replica.fetch.max.bytes': maxMessageBytes,
    'replica.fetch.response.max.bytes': maxMessageBytes,
    'group.initial.rebalance.delay.ms': 0,
    // So that tests of what happens after a time-out need not wait for long.
    'group.min.session.timeout.ms': 1000,
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 500,
    'default.replication.factor': 1,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 4,
    // The cleaner takes 128 MB of the heap otherwise.
    'log.cleaner.dedupe.buffer.size': 16 * 1024 * 1024,
  }
  return Object.entries(entries)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('')
}

/** Formats the log folder at the first start; one that was interrupted begins again. */
async function formatOnce(folder: string): Promise<void> {
  const logFolder = join(folder, 'log')
  if (existsSync(logFolder)) return
  const unfinished = join(folder, 'log.unfinished')
  const properties = join(folder, 'format.properties')
  await rm(unfinished, { recursive: true, force: true })
  await writeFile(properties, brokerProperties(9092, 9093, unfinished))
  const format = ['kafka.tools.StorageTool', 'format', '--cluster-id', 'Y3J5cHRvLWludGVsLTAwMQ', '--config', properties]
  const flags = [
    '-XX:TieredStopAtLevel=1',
    '-XX:+UseSerialGC',
    `-XX:SharedArchiveFile=${join(javaFolder, 'kafka.jsa')}`,
  ]
  await promisify(execFile)(javaCommand(), [...flags, '-Xlog:disable', '-cp', classPath, ...format])
  await rename(unfinished, logFolder)
}

/**
 * Resolves when the cluster's metadata names a broker: only then has the controller let it in. Speaks Metadata v1 itself, since
 * a client library would retry and log.
 */
function probeKafka(port: number): Promise<void> {
  const request = Buffer.alloc(4 + 14)
  request.writeInt32BE(14) // length of what follows
  request.writeInt16BE(3, 4) // Metadata
  request.writeInt16BE(1, 6) // version; then the correlation id 0
  request.writeInt16BE(-1, 12) // no client id; then no topics
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request))
    socket.setTimeout(2000, () => socket.destroy(new Error('no answer to Metadata within 2 s')))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the broker closed the connection')))
    socket.once('data', (answer) => {
      socket.destroy()
      // Length, correlation id, number of brokers.
      if (answer.length >= 12 && answer.readInt32BE(8) > 0) resolve()
      else reject(new Error('the broker is not registered yet'))
    })
  })
}
