import type { JsonDocument } from './json-document.ts'

/** The answer of `config show`. */
export interface ConfigurationDocument extends JsonDocument {
  /** Null when no file was read. */
  readonly file: string | null
  readonly settings: readonly {
    /** `clusters.main.connection` */
    readonly path: string
    /** Null when nothing is set and there is no default. */
    readonly value: string | number | boolean | readonly string[] | null
    readonly source: 'file' | 'environment' | 'default' | 'none'
    /** `FILE:LINE:COL`, when it comes from a file. */
    readonly place: string | null
    /** The variable that sets it or would. */
    readonly variable: string
  }[]
}

/** The answer of `config check` when everything is in order; otherwise it fails. */
export interface ConfigurationCheckDocument extends JsonDocument {
  readonly file: string | null
  readonly clusters: readonly string[]
  readonly repos: readonly string[]
}

/** The answer of `config schema`. */
export interface ConfigurationSchemaDocument extends JsonDocument {
  /** JSON Schema, draft 2020-12. */
  readonly schema: unknown
}
