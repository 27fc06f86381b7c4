import { z } from 'zod'
import { configurationSchema } from './configuration-schema.ts'
import type { SettingPath } from './parse-yaml.ts'

/** One setting as documentation, overrides and listings see it. A `*` in the path stands for the name of a cluster or repo. */
export interface Setting {
  readonly path: readonly string[]
  readonly type: 'text' | 'whole number' | 'flag' | 'list'
  /** As it would be written in the file; undefined when there is none. */
  readonly default: SettingValue | undefined
  readonly description: string
}

export type SettingValue = string | number | boolean | readonly string[]

/** The part of JSON Schema that these settings use. */
type JsonSchema = z.core.JSONSchema.BaseSchema

/** The JSON Schema of the configuration file (draft 2020-12), for editors. */
export function configurationJsonSchema(): JsonSchema {
  return {
    ...z.toJSONSchema(configurationSchema, { io: 'input' }),
    title: 'The configuration of Holdfast',
  }
}

/** All settings, in the order of the schema. */
export function listSettings(): readonly Setting[] {
  return settingsBelow(configurationJsonSchema(), [])
}

/** The keys that may stand in the section at `path`; none when any name may. */
export function knownKeys(path: SettingPath): readonly string[] {
  let schema: JsonSchema | undefined = configurationJsonSchema()
  for (const segment of path) schema = schema && childSchema(schema, String(segment))
  return Object.keys(schema?.properties ?? {})
}

function childSchema(schema: JsonSchema, key: string): JsonSchema | undefined {
  const child = schema.properties?.[key] ?? schema.additionalProperties
  return typeof child === 'object' ? child : undefined
}

function settingsBelow(schema: JsonSchema, path: readonly string[]): readonly Setting[] {
  if (schema.type !== 'object') return [describeSetting(schema, path)]
  const children = Object.entries(schema.properties ?? { '*': schema.additionalProperties ?? false })
  return children.flatMap(([key, child]) =>
    typeof child === 'object' ? settingsBelow(child, [...path, key]) : [],
  )
}

function describeSetting(schema: JsonSchema, path: readonly string[]): Setting {
  return {
    path,
    type: settingType(schema.type),
    default: isSettingValue(schema.default) ? schema.default : undefined,
    description: schema.description ?? '',
  }
}

function settingType(type: JsonSchema['type']): Setting['type'] {
  if (type === 'integer') return 'whole number'
  if (type === 'boolean') return 'flag'
  return type === 'array' ? 'list' : 'text'
}

function isSettingValue(value: unknown): value is SettingValue {
  if (Array.isArray(value)) return value.every((entry) => typeof entry === 'string')
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}
