import type { Override } from './environment-overrides.ts'
import { environmentVariable } from './environment-overrides.ts'
import type { SettingPath } from './parse-yaml.ts'
import type { Setting, SettingValue } from './settings.ts'
import { section, valueAt } from './setting-tree.ts'
import type { SettingTree } from './setting-tree.ts'

/** Where a value came from. */
type SettingSource =
  | { readonly kind: 'file'; readonly place: string }
  | { readonly kind: 'environment'; readonly variable: string }
  | { readonly kind: 'default' }
  /** Nothing is set and there is no default. */
  | { readonly kind: 'none' }

export interface SettingInForce {
  readonly path: readonly string[]
  /** As it was written; undefined when nothing is set and there is no default. */
  readonly value: SettingValue | undefined
  readonly source: SettingSource
  /** The environment variable that sets or would set it. */
  readonly variable: string
}

interface Origins {
  readonly overrides: readonly Override[]
  readonly placeOf: (path: SettingPath) => string
}

/** Lists every setting of every configured cluster and repo, and the general ones, each with its value and source. */
export function describeSources(
  settings: readonly Setting[],
  values: SettingTree,
  origins: Origins,
): readonly SettingInForce[] {
  return namedSettings(settings, values).map(({ path, setting }) => {
    const written = valueAt(values, path)
    const isWritten = written !== undefined
    return {
      path,
      value: isWritten ? toSettingValue(written) : setting.default,
      source: isWritten
        ? writtenSource(path, origins)
        : { kind: setting.default === undefined ? 'none' : 'default' },
      variable: environmentVariable(path),
    }
  })
}

interface NamedSetting {
  readonly path: readonly string[]
  readonly setting: Setting
}

/** In the order of the schema, but all settings of one cluster or repo together. */
function namedSettings(settings: readonly Setting[], values: SettingTree): readonly NamedSetting[] {
  const sections = Map.groupBy(settings, ({ path }) => (path[1] === '*' ? path[0] : undefined))
  return [...sections].flatMap(([name, members]) => {
    if (name === undefined) return members.map((setting) => ({ path: setting.path, setting }))
    return Object.keys(section(values[name])).flatMap((key) =>
      members.map((setting) => ({ path: setting.path.with(1, key), setting })),
    )
  })
}

function writtenSource(path: readonly string[], { overrides, placeOf }: Origins): SettingSource {
  const variable = environmentVariable(path)
  const isOverridden = overrides.some((override) => override.variable === variable)
  return isOverridden ? { kind: 'environment', variable } : { kind: 'file', place: placeOf(path) }
}

function toSettingValue(written: unknown): SettingValue {
  if (Array.isArray(written)) return written.map(String)
  return typeof written === 'number' || typeof written === 'boolean' ? written : String(written)
}
