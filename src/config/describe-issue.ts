import type { z } from 'zod'
import { quote } from '../domain/quote.ts'
import { nearestName } from './nearest-name.ts'
import type { SettingPath } from './parse-yaml.ts'
import type { Problem } from './problem.ts'
import { valueAt } from './setting-tree.ts'
import { knownKeys } from './settings.ts'

type Issue = z.core.$ZodIssue

/** Says in the operator's words what the validation found. One issue may be several problems: one for each unknown key. */
export function describeIssue(
  issue: Issue,
  values: unknown,
  placeOf: (path: SettingPath) => string,
): readonly Problem[] {
  const path = issue.path.map((segment) => (typeof segment === 'symbol' ? String(segment) : segment))
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => describeUnknownKey(path, key, placeOf([...path, key])))
  }
  const found = parameter(issue, 'found') ?? describeValue(values, path)
  const hint = parameter(issue, 'hint')
  return [{ place: placeOf(path), path: formatPath(path), expected: expectedBy(issue), found, hint }]
}

/** `repos.local.location`, `clusters.main.repos[0]`. */
function formatPath(path: SettingPath): string {
  return path
    .map((segment) => (typeof segment === 'number' ? `[${segment}]` : `.${printable(segment)}`))
    .join('')
    .replace(/^\./, '')
}

function printable(segment: string): string {
  return /^[\w-]{1,63}$/.test(segment) ? segment : quote(segment)
}

function describeUnknownKey(path: SettingPath, key: string, place: string): Problem {
  const known = knownKeys(path)
  const near = nearestName(key, known)
  return {
    place,
    path: formatPath(path),
    expected: near === undefined ? `one of the keys ${known.join(', ')}` : 'a known key',
    found: quote(key),
    hint: near === undefined ? undefined : `Did you mean "${near}"?`,
  }
}

function expectedBy(issue: Issue): string {
  if (issue.code === 'invalid_type' && (issue.expected === 'object' || issue.expected === 'record')) {
    return 'settings below it, each on a line of its own'
  }
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? issue.message
  return issue.message
}

/** Settings whose value might be a secret that was put into the wrong place: it is not repeated. */
const quietSettings: ReadonlySet<string | number> = new Set([
  'connection',
  'passfile',
  'location',
  'key-file',
  'passphrase-file',
  'secret-key-file',
  'credentials-file',
  'session-token-file',
  'private-key-file',
  'private-key-passphrase-file',
  'password-file',
  'sas-file',
  'token-file',
])

function describeValue(values: unknown, path: SettingPath): string {
  const value = valueAt(values, path)
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object') return 'settings below it'
  if (path.length < 2 || quietSettings.has(path.at(-1) ?? '')) return `another ${kindOf(value)}`
  return typeof value === 'string' ? quote(value) : JSON.stringify(value)
}

function kindOf(value: unknown): string {
  return typeof value === 'string' ? 'text' : typeof value
}

function parameter(issue: Issue, name: 'found' | 'hint'): string | undefined {
  const value: unknown = issue.code === 'custom' ? issue.params?.[name] : undefined
  return typeof value === 'string' ? value : undefined
}
