import type { StreamFormat } from './dump-selection.ts'

/** How a custom archive begins, and the table of contents of a directory: `magic` in pg_backup_archiver.h. */
export const customMagic = 'PGDMP'
/** How pg_dump, and pg_dumpall, end what they write as text. */
const plainTrailer = /^-- PostgreSQL database (?:cluster )?dump complete$/m
const keptBytes = 1024

/** Watches a dump go by, and knows afterwards whether it has the ends of a whole one. */
export class DumpEnds {
  readonly #format: StreamFormat
  #head: Buffer = Buffer.alloc(0)
  #tail: Buffer = Buffer.alloc(0)

  constructor(format: StreamFormat) {
    this.#format = format
  }

  add(chunk: Uint8Array): void {
    if (this.#head.length < customMagic.length) {
      this.#head = Buffer.concat([this.#head, chunk.subarray(0, customMagic.length)])
    }
    this.#tail = Buffer.concat([this.#tail, chunk.subarray(-keptBytes)]).subarray(-keptBytes)
  }

  /** Why it cannot be whole; undefined: it may be. A custom archive has no trailer: its table of contents is read back. */
  fault(): string | undefined {
    if (this.#format === 'custom') {
      const begin = this.#head.subarray(0, customMagic.length).toString('latin1')
      return begin === customMagic ? undefined : 'it does not begin as an archive of pg_dump does'
    }
    return plainTrailer.test(this.#tail.toString('utf8'))
      ? undefined
      : 'it does not end with "-- PostgreSQL database dump complete"'
  }
}
