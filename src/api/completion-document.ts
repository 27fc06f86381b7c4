import type { JsonDocument } from './json-document.ts'

/** The answer of `completion`. */
export interface CompletionDocument extends JsonDocument {
  readonly shell: string
  readonly script: string
}
