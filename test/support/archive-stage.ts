import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createStore, parseRepositoryLocation } from '../../src/storage/open-store.ts'
import { buildSegment, createPlace, recordingContext } from './archive-fixture.ts'
import { giveAll } from './archive-site.ts'
import { runHoldfast, type HoldfastOptions, type HoldfastResult } from './holdfast.ts'
import type { Scratch } from './scratch.ts'

/** What a server leaves on the disk, without a server: segments that wait to be archived, and repositories for them. */
export class ArchiveStage {
  readonly folder: string
  readonly #scratch: Scratch

  constructor(folder: string, scratch: Scratch) {
    this.folder = folder
    this.#scratch = scratch
  }

  get dataDirectory(): string {
    return join(this.folder, 'data')
  }

  get configuration(): string {
    return join(this.folder, 'holdfast.yaml')
  }

  /** Where a repository of this name is. */
  repository(name = 'first'): string {
    return join(this.folder, name)
  }

  /** Writes a configuration with these repositories, and other settings behind it. */
  async configure(repositories: readonly string[], settings: readonly string[] = []): Promise<void> {
    const repos = repositories.flatMap((name) => [
      `  ${name}:`,
      `    location: posix:${this.repository(name)}`,
      `    key-file: ${join(this.folder, 'key')}`,
    ])
    const lines = [
      'clusters:',
      '  main:',
      '    connection: host=/nowhere',
      'repos:',
      ...repos,
      ...settings,
      '',
    ]
    await writeFile(this.configuration, lines.join('\n'), { mode: 0o600 })
    await giveAll(this.folder, this.#scratch)
  }

  /** Runs the tool in the data directory, as the server's user. */
  run(args: readonly string[], options: HoldfastOptions = {}): Promise<HoldfastResult> {
    return runHoldfast(args, {
      config: this.configuration,
      cwd: this.dataDirectory,
      asUser: this.#scratch.user,
      ...options,
    })
  }
}

/** The name of the segment with this number on timeline 1, below 16. */
export const segmentName = (number: number): string =>
  `00000001000000000000000${number.toString(16).toUpperCase()}`

/** Makes repositories that know the cluster, and segments 3, 4, ... that wait. The first repository is configured. */
export async function createArchiveStage(
  scratch: Scratch,
  { segmentCount = 3, repositories = ['first'] } = {},
): Promise<ArchiveStage> {
  const stage = new ArchiveStage(await scratch.makeFolder('stage'), scratch)
  const walFolder = join(stage.dataDirectory, 'pg_wal')
  await mkdir(join(walFolder, 'archive_status'), { recursive: true, mode: 0o700 })
  await writeFile(join(stage.dataDirectory, 'PG_VERSION'), '16\n')
  await writeFile(join(stage.folder, 'key'), Buffer.alloc(32, 7), { mode: 0o600 })
  for (const name of repositories) {
    const location = parseRepositoryLocation(`posix:${stage.repository(name)}`)
    await using store = await createStore(location, { access: 'write' }, recordingContext())
    await createPlace({ store })
  }
  for (let number = 3; number < 3 + segmentCount; number += 1) {
    const name = segmentName(number)
    await writeFile(join(walFolder, name), buildSegment(name), { mode: 0o600 })
    await writeFile(join(walFolder, 'archive_status', `${name}.ready`), '')
  }
  await stage.configure(repositories.slice(0, 1))
  return stage
}
