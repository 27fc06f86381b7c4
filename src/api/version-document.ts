import type { JsonDocument } from './json-document.ts'

/** The answer of `version`. */
export interface VersionDocument extends JsonDocument {
  readonly holdfast: string
  readonly node: string
  readonly platform: string
}
