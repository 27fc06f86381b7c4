import type { DamagedFile } from '../../app/find-damaged-files.ts'
import { printable } from './text.ts'

/** A cluster may be damaged all over: the document has everything, people are told enough to begin. */
const mostTold = 20

/** What people are told of the damaged pages in a backup. */
export function damageLines(pageCount: number, files: readonly DamagedFile[]): readonly string[] {
  const more = files.length - mostTold
  return [
    `${pageCount} pages have wrong checksums in the cluster itself; they were copied as they are:`,
    ...files.slice(0, mostTold).map(describeDamage),
    ...(more > 0 ? [`  and ${more} more files`] : []),
    'Keep an older backup, and find out about the disk before anything else.',
  ]
}

function describeDamage({ root, path, blocks }: DamagedFile): string {
  const place = printable(root === 0 ? path : `tablespace ${root}: ${path}`)
  const shown = blocks.slice(0, mostTold).join(', ')
  const more = blocks.length > mostTold ? ` and ${blocks.length - mostTold} more` : ''
  return `  ${place}: block ${shown}${more}`
}
