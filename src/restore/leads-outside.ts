import { posix } from 'node:path'
import type { LayoutLink } from './layout.ts'

/** Whether what is written through this link could land outside the directory that it is in. */
export function leadsOutside({ path, target }: Pick<LayoutLink, 'path' | 'target'>): boolean {
  if (target === '' || target.startsWith('/') || goesUpBehindName(target)) return true
  const reached = posix.normalize(posix.join(posix.dirname(path), target))
  return reached === '..' || reached.startsWith('../') || reached === '.'
}

/**
 * Steps up at the beginning of a target lead through directories of the backup. Behind a name they would begin wherever
 * that name leads to when it is a link itself, which the words of the path do not tell.
 */
function goesUpBehindName(target: string): boolean {
  const steps = target.split('/').filter((step) => step !== '' && step !== '.')
  const firstName = steps.findIndex((step) => step !== '..')
  return firstName !== -1 && steps.includes('..', firstName)
}
