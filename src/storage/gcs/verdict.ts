import type { StoreFailure } from '../call-with-retry.ts'

/** What a failure means, as far as it is not the usual: nothing transient, nothing that the store has said. */
export type Verdict = Partial<StoreFailure> & Pick<StoreFailure, 'found' | 'hint'>

export const brokenHint = 'Look into the log of the store and of what lies between it and this machine.'

/** The system's name for an error of the network, as Node and OpenSSL have it; empty: it has none. */
export function codeOf(error: unknown): string {
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined
  return typeof code === 'string' ? code : ''
}
