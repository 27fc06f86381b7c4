import { open, stat } from 'node:fs/promises'
import { OperationError } from '../domain/operation-error.ts'
import { blocksPerRelationFile, parseRelationPath } from '../postgres/page-layout.ts'
import { relationFileKey, type LeftOut } from './leave-out.ts'

/** Of about a million records that found no page. Where that is not enough, everything is better restored. */
export const mostLogBytes = 256 * 1024 * 1024

/**
 * Reads the log of a recovery that ignored invalid pages: each of them must be of a file that was left out. Gives the first
 * one that is not, in the server's words; undefined: there is none. Throws `file-unreadable`.
 */
export async function findForeignInvalidPage(logFile: string, leftOut: LeftOut): Promise<string | undefined> {
  try {
    await using log = await open(logFile)
    for await (const line of log.readLines({ autoClose: false })) {
      const words = foreignPageIn(line, leftOut)
      if (words !== undefined) return words
    }
    return undefined
  } catch (cause) {
    throw new OperationError('file-unreadable', `reading server log "${logFile}": ${String(cause)}`, {
      cause,
    })
  }
}

/** Bytes of the log so far; it may not be there yet. */
export async function logBytesOf(logFile: string): Promise<number> {
  const found = await stat(logFile).catch(() => undefined)
  return found?.size ?? 0
}

/** report_invalid_page in access/transam/xlogutils.c, never translated. */
const invalidPage = /WARNING: +(page (\d+) of relation (\S+) (?:is uninitialized|does not exist))$/

/** Whatever else is said of a page counts too. */
function foreignPageIn(line: string, leftOut: LeftOut): string | undefined {
  if (!/\b(?:page|block)\b.*\brelation\b/.test(line)) return undefined
  const [, words = line, block, path = ''] = invalidPage.exec(line) ?? []
  const file = parseRelationPath(path)
  if (file === undefined) return words
  const segmentNumber = Math.floor(Number(block) / blocksPerRelationFile)
  return leftOut.files.has(relationFileKey({ ...file, segmentNumber })) ? undefined : words
}
