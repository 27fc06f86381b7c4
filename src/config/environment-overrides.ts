import type { Environment } from '../platform/environment.ts'
import { nearestName } from './nearest-name.ts'
import type { Problem } from './problem.ts'
import type { Setting, SettingValue } from './settings.ts'

/** One environment variable that sets a setting. */
export interface Override {
  readonly variable: string
  readonly path: readonly string[]
  /** Of the setting's type where the text allows it; otherwise the text, for the validation to refuse. */
  readonly value: SettingValue
}

interface Names {
  readonly clusters: readonly string[]
  readonly repos: readonly string[]
}

const prefix = 'HOLDFAST_'

/** The variable that overrides the setting at `path`: `HOLDFAST_CLUSTERS_MAIN_DATA_DIRECTORY`. */
export function environmentVariable(path: readonly string[]): string {
  return prefix + path.map(toVariablePart).join('_')
}

/**
 * Finds the overrides among the variables. They may name clusters and repos that the file does not have: the name is
 * then what stands before the setting, in lower case, hyphens for underscores. Empty variables count as not set. A
 * variable that starts like a section and names no setting is a problem, because it was meant to do something.
 */
export function findOverrides(
  environment: Environment,
  settings: readonly Setting[],
  named: Names,
): { readonly overrides: readonly Override[]; readonly problems: readonly Problem[] } {
  const overrides: Override[] = []
  const problems: Problem[] = []
  for (const variable of Object.keys(environment).toSorted()) {
    const text = environment[variable]
    if (text === undefined || text === '' || !variable.startsWith(prefix)) continue
    const match = matchSetting(variable, settings, named)
    if (match !== undefined) {
      overrides.push({ variable, path: match.path, value: readValue(text, match.setting) })
    } else if (isOfSection(variable, settings)) {
      problems.push(describeUnknownVariable(variable, settings, named))
    }
  }
  return { overrides, problems }
}

interface Match {
  readonly setting: Setting
  readonly path: readonly string[]
}

/** The longest setting wins, so that a setting's name is never taken for a part of a cluster's. */
function matchSetting(variable: string, settings: readonly Setting[], named: Names): Match | undefined {
  return settings
    .flatMap((setting): readonly Match[] => {
      const path = matchPath(variable, setting, named)
      return path === undefined ? [] : [{ setting, path }]
    })
    .toSorted((a, b) => (b.setting.path.at(-1) ?? '').length - (a.setting.path.at(-1) ?? '').length)[0]
}

function matchPath(variable: string, { path }: Setting, named: Names): readonly string[] | undefined {
  const [section = '', wildcard, ...rest] = path
  if (wildcard !== '*') return environmentVariable(path) === variable ? path : undefined
  const start = `${prefix}${toVariablePart(section)}_`
  const end = `_${rest.map(toVariablePart).join('_')}`
  if (!variable.startsWith(start) || !variable.endsWith(end)) return undefined
  const name = variable.slice(start.length, -end.length)
  if (variable.length <= start.length + end.length) return undefined
  const configured = section === 'clusters' ? named.clusters : named.repos
  const known = configured.find((candidate) => toVariablePart(candidate) === name)
  return [section, known ?? name.toLowerCase().replaceAll('_', '-'), ...rest]
}

function isOfSection(variable: string, settings: readonly Setting[]): boolean {
  return settings.some(
    ({ path }) => path.length > 1 && variable.startsWith(`${prefix}${toVariablePart(path[0] ?? '')}_`),
  )
}

function describeUnknownVariable(variable: string, settings: readonly Setting[], named: Names): Problem {
  const known = settings.flatMap(({ path }) => spellings(path, named).map(environmentVariable))
  const near = nearestName(
    variable,
    known.map((name) => name.toLowerCase().replaceAll('_', '-')),
  )
  return {
    place: `environment variable ${variable}`,
    path: '',
    expected: 'the name of a setting',
    found: 'none of that name',
    hint: near === undefined ? undefined : `Did you mean ${toVariablePart(near)}?`,
  }
}

function spellings(path: readonly string[], named: Names): readonly (readonly string[])[] {
  const [section = '', wildcard, ...rest] = path
  if (wildcard !== '*') return [path]
  return (section === 'clusters' ? named.clusters : named.repos).map((name) => [section, name].concat(rest))
}

function readValue(text: string, { type }: Setting): SettingValue {
  switch (type) {
    case 'text':
      return text
    case 'whole number':
      return /^-?\d{1,15}$/.test(text) ? Number(text) : text
    case 'flag':
      return text === 'true' || text === 'false' ? text === 'true' : text
    case 'list':
      return text.split(',').map((entry) => entry.trim())
  }
}

function toVariablePart(segment: string): string {
  return segment.toUpperCase().replaceAll('-', '_')
}
