import type { JsonDocument } from './json-document.ts'

/** The answer of `init`. */
export interface InitDocument extends JsonDocument {
  readonly cluster: string
  readonly systemIdentifier: string
  readonly serverVersion: string
  /** Null for a cluster of dumps only: nobody asks for it. */
  readonly dataDirectory: string | null
  readonly configuration: { readonly file: string; readonly made: 'created' | 'exists' }
  readonly repo: {
    readonly name: string
    readonly location: string
    readonly isEncrypted: boolean
    readonly made: 'created' | 'exists'
  }
  /** Null when the repository is not locked with a key file. */
  readonly keyFile: { readonly path: string; readonly made: 'created' | 'exists' } | null
  readonly clusterRecord: 'created' | 'exists'
  readonly settings: readonly SettingListing[]
  /** Settings that were changed now. */
  readonly applied: readonly string[]
  /** SQL that is still to be run. */
  readonly statements: readonly string[]
  /** The command that restarts the server; null when no restart is due. */
  readonly restart: string | null
}

interface SettingListing {
  readonly name: string
  readonly current: string
  readonly wanted: string
  readonly state: 'ok' | 'restart-due' | 'missing' | 'advised' | 'foreign'
  readonly needsRestart: boolean
}
