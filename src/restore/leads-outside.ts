import { posix } from 'node:path'
import type { LayoutLink } from './layout.ts'

/** Whether what is written through this link would land outside the directory that it is in. */
export function leadsOutside({ path, target }: Pick<LayoutLink, 'path' | 'target'>): boolean {
  if (target === '' || target.startsWith('/')) return true
  const reached = posix.normalize(posix.join(posix.dirname(path), target))
  return reached === '..' || reached.startsWith('../') || reached === '.'
}
