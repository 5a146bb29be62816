/** Each alert has cases in which it fires and in which it keeps still, and promtool, where it is there, finds them right. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'

const Rules = z.object({ groups: z.array(z.object({ rules: z.array(z.object({ alert: z.string() })) })) })
const Case = z.object({ alertname: z.string(), exp_alerts: z.array(z.unknown()) })
const Cases = z.object({ rule_files: z.string().array(), tests: z.array(z.object({ alert_rule_test: z.array(Case) })) })

const read = (name: string): unknown => parse(readFileSync(`ops/prometheus/${name}`, 'utf8'))
const alerts = Rules.parse(read('rules.yml')).groups.flatMap(({ rules }) => rules.map(({ alert }) => alert))
const cases = Cases.parse(read('rules.test.yml')).tests.flatMap(({ alert_rule_test }) => alert_rule_test)

test.each(alerts)('%s has a case in which it fires', (alert) => {
  expect(cases.filter(({ alertname, exp_alerts }) => alertname === alert && exp_alerts.length > 0)).not.toEqual([])
})

test('no case is of an alert that is gone', () => {
  expect(alerts).toEqual(expect.arrayContaining(cases.map(({ alertname }) => alertname)))
})

const promtool = spawnSync('promtool', ['--version']).status === 0

test.skipIf(!promtool)('promtool finds every case right (skipped where promtool is missing)', () => {
  const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', 'ops/prometheus/rules.test.yml'], { encoding: 'utf8' }) // prettier-ignore
  expect(status, stdout + stderr).toBe(0)
})
