import { open, readdir, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { blockSize, createPageKernel, type PageKernel } from '../codec/page-kernel.ts'
import type { RunContext } from '../domain/run-context.ts'
import { hasSystemCode } from '../platform/durable-file.ts'
import { firstBlockOf, parseRelationPath, type RelationFile } from '../postgres/page-layout.ts'

export interface CheckedPages {
  readonly pages: number
  /** `FILE, block N`, the first of them. */
  readonly bad: readonly string[]
  readonly badCount: number
}

const mostNamed = 20
/** A page that the server writes meanwhile may be read half new: it is right when it is read again. */
const readings = 3

interface PagesRequest {
  readonly dataDirectory: string
  /** False: pages are only read. */
  readonly hasChecksums: boolean
}

/** Reads every page of every relation in a data directory and checks its checksum (R9). */
export async function checkPages(
  { dataDirectory, hasChecksums }: PagesRequest,
  context: RunContext,
): Promise<CheckedPages> {
  const checker = new PageChecker(createPageKernel({ seed: 0n }), hasChecksums)
  for (const folder of await relationFolders(dataDirectory)) {
    for (const name of await readdir(join(dataDirectory, folder))) {
      context.signal.throwIfAborted()
      const path = `${folder}/${name}`
      const file = parseRelationPath(path)
      if (file !== undefined && !file.isTemporary)
        await checker.check(join(dataDirectory, path), { path, file })
    }
    const done = checker.pages * blockSize
    context.report({ kind: 'progress', phase: 'checking pages', done, total: done, unit: 'bytes' })
  }
  return { pages: checker.pages, bad: checker.bad, badCount: checker.badCount }
}

async function relationFolders(dataDirectory: string): Promise<readonly string[]> {
  const foldersIn = async (parent: string): Promise<readonly string[]> =>
    (await readdir(join(dataDirectory, parent))).map((name) => `${parent}/${name}`)
  const tablespaces = await foldersIn('pg_tblspc')
  const versions = (await Promise.all(tablespaces.map(foldersIn))).flat()
  const inTablespaces = (
    await Promise.all(versions.filter((path) => /\/PG_[^/]+$/.test(path)).map(foldersIn))
  ).flat()
  return ['global', ...(await foldersIn('base')), ...inTablespaces].filter(
    (path) => !path.endsWith('pgsql_tmp'),
  )
}

interface NamedFile {
  readonly path: string
  readonly file: RelationFile
}

class PageChecker {
  pages = 0
  badCount = 0
  readonly bad: string[] = []
  readonly #kernel: PageKernel
  readonly #hasChecksums: boolean

  constructor(kernel: PageKernel, hasChecksums: boolean) {
    this.#kernel = kernel
    this.#hasChecksums = hasChecksums
  }

  async check(fullPath: string, named: NamedFile): Promise<void> {
    try {
      await using handle = await open(fullPath, 'r')
      const { size } = await handle.stat()
      const { input } = this.#kernel
      for (let offset = 0; offset + blockSize <= size; offset += input.length) {
        const length = Math.min(input.length, size - offset)
        const blocks = await this.#badBlocks(handle, {
          offset,
          length,
          first: firstBlockOf(named.file) + offset / blockSize,
        })
        this.pages += Math.floor(length / blockSize)
        for (const block of blocks) this.#note(named.path, block)
      }
    } catch (error) {
      if (!hasSystemCode(error, 'ENOENT')) throw error // the server removes what a dropped relation left
    }
  }

  async #badBlocks(
    handle: FileHandle,
    { offset, length, first }: { readonly offset: number; readonly length: number; readonly first: number },
  ): Promise<readonly number[]> {
    let bad: readonly number[] = []
    for (let reading = 0; reading < readings; reading += 1) {
      const { bytesRead } = await handle.read(this.#kernel.input, 0, length, offset)
      if (!this.#hasChecksums) return []
      bad = this.#kernel.checkPages({ offset: 0, length: bytesRead }, first).map((index) => first + index)
      if (bad.length === 0) break
    }
    return bad
  }

  #note(path: string, block: number): void {
    this.badCount += 1
    if (this.bad.length < mostNamed) this.bad.push(`${path}, block ${block}: its checksum is wrong`)
  }
}
