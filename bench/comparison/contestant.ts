import type { ServerPlace } from './server-place.ts'
import type { Command } from './measured-process.ts'

/** A tool that can be measured: every command is run as the user of the servers. */
export interface Contestant {
  /** As it stands in the tables. */
  readonly name: string
  readonly version: string
  /** Where all of the tool's files are; nothing else is there. */
  readonly folder: string
  /** Prepares an empty repository and the configuration for a server that runs, both in `folder`. */
  prepare(place: ServerPlace): Promise<void>
  /** As PostgreSQL takes them: for the server that it was prepared for, and for one that recovers in this directory. */
  archiveCommand(): string
  restoreCommand(dataDirectory: string): string
  backup(): Command
  /** On top of the backup before. */
  incremental(): Command
  restore(targetDirectory: string): Command
  /** Undefined: this version has none. */
  verify(): Command | undefined
}
