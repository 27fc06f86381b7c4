import type { Brand } from './brand.ts'
import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'

/** What the operator calls a protected cluster. Safe in a path, an object key, a shell and a metric label. */
export type ClusterName = Brand<string, 'ClusterName'>

/** What the operator calls a repository, by the same rules. */
export type RepoName = Brand<string, 'RepoName'>

const writtenName = /^[a-z0-9][a-z0-9_-]{0,62}$/

export function isClusterName(text: string): text is ClusterName {
  return writtenName.test(text)
}

export function isRepoName(text: string): text is RepoName {
  return writtenName.test(text)
}

export function parseClusterName(text: string): ClusterName {
  if (!isClusterName(text)) throw refused(text, 'cluster')
  return text
}

export function parseRepoName(text: string): RepoName {
  if (!isRepoName(text)) throw refused(text, 'repository')
  return text
}

function refused(text: string, what: 'cluster' | 'repository'): OperationError {
  return new OperationError('usage', `${quote(text)} is not a name for a ${what}`, {
    hint: 'Use 1 to 63 lower-case letters, digits, "-" and "_", starting with a letter or a digit.',
  })
}
