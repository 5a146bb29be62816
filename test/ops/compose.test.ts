/** docker-compose.yml, the image and Prometheus fit the topology, the configuration and the metrics that there are. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { cryptoIntel } from '../../topologies/crypto-intel.ts'
import { describeConfig, loadConfig } from '../../workers/runtime/config.ts'
import { loadWatch } from '../../workers/runtime/load-watch.ts'
import { knownSeries, metricsIn } from './promql.ts'

const Service = z.looseObject({
  image: z.string(),
  command: z.union([z.string(), z.array(z.string())]).optional(),
  environment: z.record(z.string(), z.coerce.string()).default({}),
  ports: z.array(z.string()).default([]),
  volumes: z.array(z.union([z.string(), z.object({ type: z.literal('bind'), source: z.string() })])).default([]),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
})
const Compose = z.object({ services: z.record(z.string(), Service), volumes: z.record(z.string(), z.null()) })
const Scrape = z.object({
  dns_sd_configs: z.array(z.object({ type: z.string(), port: z.int(), names: z.string().array() })),
})
const Prometheus = z.object({ rule_files: z.string().array(), scrape_configs: z.tuple([Scrape]) })
const Rule = z.object({ alert: z.string(), expr: z.string(), annotations: z.record(z.string(), z.string()) })
const Rules = z.object({ groups: z.array(z.object({ rules: z.array(Rule) })) })

const read = (path: string): string => readFileSync(path, 'utf8')
const source = read('docker-compose.yml')
/** As Compose fills it in where no variable is set. */
const filledIn = source.replace(/\$\{\w+:-([^}]*)\}/g, '$1')
const { services, volumes } = Compose.parse(parse(filledIn, { merge: true }))
const own = Object.entries(services).filter(([, { image }]) => image === 'crypto-intel:local')
const workers = own.filter(([name]) => name !== 'init')
const steps = cryptoIntel.steps.map(({ name }) => name)
const variables = describeConfig().map(({ variable }) => variable)
const succeeds = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0

describe('docker-compose.yml', () => {
  test('runs each step of the topology in one service of its name', () => {
    expect(workers.map(([name, { command }]) => [name, command])).toEqual(
      steps.map((step) => [step, `run ${cryptoIntel.name} --step ${step}`]),
    )
  })

  test('gives the workers variables that they know, with values that they accept', () => {
    for (const [name, { environment }] of own) {
      expect(variables, name).toEqual(expect.arrayContaining(Object.keys(environment)))
      expect(() => loadConfig(environment), name).not.toThrow()
    }
  })

  test('starts the workers when topics, schemas and tables are there', () => {
    const ready = { condition: 'service_completed_successfully' }
    for (const [name, worker] of workers) expect(worker.depends_on, name).toEqual({ init: ready })
    expect(services['init']?.command?.at(0)?.match(/(?<=main\.ts ).*/g)).toEqual([
      'topics apply',
      'schemas register',
      'migrate',
    ])
  })

  test('waits only for services that there are, healthy ones only where health is checked', () => {
    for (const [name, { depends_on: needed }] of Object.entries(services)) {
      for (const [other, { condition }] of Object.entries(needed)) {
        expect(services, name).toHaveProperty([other])
        if (condition === 'service_healthy') expect(services[other], name).toHaveProperty('healthcheck')
      }
    }
  })

  test('takes every image by an exact version', () => {
    const bases = [...read('ops/docker/Dockerfile').matchAll(/^FROM (\S+)/gm)].map(([, image = '']) => image)
    const foreign = Object.values(services).flatMap(({ image }) => (image === 'crypto-intel:local' ? [] : image))
    expect(bases).toHaveLength(1)
    for (const image of [...bases, ...foreign]) expect(image).toMatch(/:v?\d+\.\d+\.\d+[\w.-]*$|@sha256:[0-9a-f]{64}$/)
  })

  test('mounts files and volumes that there are', () => {
    for (const volume of Object.values(services).flatMap((service) => service.volumes)) {
      const from = typeof volume === 'string' ? (volume.split(':')[0] ?? '') : volume.source
      if (from.startsWith('.')) expect(existsSync(from), from).toBe(true)
      else expect(volumes).toHaveProperty([from])
    }
  })

  test('opens ports on this machine alone, and none of a step, so that steps scale', () => {
    const open = Object.entries(services).flatMap(([name, { ports }]) => ports.map((port) => [name, port]))
    expect(open).toEqual([
      ['redpanda', '127.0.0.1:19092:19092'],
      ['timescaledb', '127.0.0.1:5432:5432'],
      ['prometheus', '127.0.0.1:9090:9090'],
      ['grafana', '127.0.0.1:3000:3000'],
    ])
    for (const [name, worker] of workers) expect(worker, name).not.toHaveProperty('container_name')
  })

  test('has its settings in .env.example, which holds no others than those of the workers and the watch file', () => {
    const listed = [...read('.env.example').matchAll(/^(?:# )?([A-Z_]+)=/gm)].map(([, name = '']) => name)
    const filled = [...source.matchAll(/\$\{(\w+)/g)].map(([, name = '']) => name)
    const secrets = Object.values(loadWatch('watch.example.yaml').channels).map((channel) =>
      channel.kind === 'webhook' ? channel.secretFrom : channel.tokenFrom,
    )
    expect(listed).toEqual(expect.arrayContaining([...filled, ...secrets]))
    expect([...filled, ...secrets, ...variables]).toEqual(expect.arrayContaining(listed))
  })

  const compose = succeeds('docker', 'compose', 'version')
  test.skipIf(!compose)('is accepted by `docker compose config` (skipped where the compose plugin is missing)', () => {
    const { status, stdout, stderr } = spawnSync('docker', ['compose', '-f', 'docker-compose.yml', 'config', '--services'], { encoding: 'utf8' }) // prettier-ignore
    expect(stderr).toBe('')
    expect(status).toBe(0)
    expect(stdout.trim().split('\n').sort()).toEqual(Object.keys(services).sort())
  })
})

describe('the image', () => {
  test('has its metrics and health reached from outside the container', () => {
    expect(read('ops/docker/Dockerfile')).toMatch(/^ENV METRICS_HOST=0\.0\.0\.0$/m)
    for (const [name, { environment }] of workers) expect(environment['METRICS_HOST'], name).toBe('0.0.0.0')
  })

  const kept = [...read('.dockerignore').matchAll(/^!(.+)$/gm)].map(([, path = '']) => path)
  const { dependencies } = z
    .object({ dependencies: z.record(z.string(), z.string()) })
    .parse(JSON.parse(read('package.json')))
  const { files, packages } = needsOf('workers/main.ts')

  test('holds the files that the entry point imports or reads', () => {
    const missing = [...files].filter((file) => !kept.some((path) => `${file}/`.startsWith(`${path}/`)))
    expect(missing).toEqual([])
    expect(files).toContain('ops/migrations/')
  })

  test('holds the packages that the entry point imports, with no development dependency', () => {
    expect(Object.keys(dependencies)).toEqual(expect.arrayContaining([...packages]))
  })
})

describe('Prometheus', () => {
  const config = Prometheus.parse(parse(read('ops/prometheus/prometheus.yml')))
  const rules = Rules.parse(parse(read('ops/prometheus/rules.yml'))).groups.flatMap((group) => group.rules)

  test('finds the replicas of every step by name, at the port of their metrics', () => {
    const [{ dns_sd_configs: found }] = config.scrape_configs
    expect(found).toEqual([{ type: 'A', port: loadConfig({}, { require: [] }).metricsPort, names: steps }])
    expect(config.rule_files).toEqual(['rules.yml'])
  })

  test('alerts on metrics that the workers have', () => {
    const known = [...knownSeries.keys()]
    for (const { alert, expr } of rules) expect(known, alert).toEqual(expect.arrayContaining(metricsIn(expr)))
  })

  test('alerts name labels that their expression keeps', () => {
    for (const { alert, expr, annotations } of rules) {
      const kept = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, labels = '']) => labels.split(', '))
      const named = [
        ...Object.values(annotations)
          .join()
          .matchAll(/\$labels\.(\w+)/g),
      ].map(([, label]) => label)
      expect(kept, alert).toEqual(expect.arrayContaining(named))
    }
  })

  test.skipIf(!succeeds('promtool', '--version'))('is accepted by promtool (skipped where promtool is missing)', () => {
    const check = ['check', 'config', 'ops/prometheus/prometheus.yml']
    const { status, stdout, stderr } = spawnSync('promtool', check, { encoding: 'utf8' })
    expect(status, stdout + stderr).toBe(0)
  })
})

/** Files and packages that a module and its imports need when they run; imports of types do not run. */
function needsOf(entry: string): { files: Set<string>; packages: Set<string> } {
  const files = new Set<string>()
  const packages = new Set<string>()
  const visit = (file: string): void => {
    if (files.has(file)) return
    files.add(file)
    const code = read(file)
    for (const [, path = ''] of code.matchAll(/new URL\('([^']+)', import\.meta\.url\)/g))
      files.add(join(file, '..', path))
    for (const [, name = ''] of code.matchAll(/^(?:import|export) (?!type )(?:[^'"]*? from )?'([^']+)'/gm)) {
      if (name.startsWith('.')) visit(normalize(join(file, '..', name)))
      else if (!name.startsWith('node:')) packages.add(name.split('/', name.startsWith('@') ? 2 : 1).join('/'))
    }
  }
  visit(entry)
  return { files, packages }
}
