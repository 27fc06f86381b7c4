import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { parseArgs } from 'node:util'
import { isRoot } from '../../test/support/server-user.ts'

const stages = ['files', 'chain', 'archive', 'replay'] as const
type Stage = (typeof stages)[number]

export interface Options {
  readonly rounds: number
  /** Where the clusters are kept from one run to the next. */
  readonly folder: string
  readonly pgBackRest: string
  /** Whether backup, restore and verification are also measured with an empty page cache. */
  readonly isCold: boolean
  readonly stages: readonly Stage[]
  readonly resultsFile: string
  /** Undefined: the table is only printed. */
  readonly document: string | undefined
}

export const usage = `node bench/compare.ts [options]: Holdfast and an installed pgBackRest at the same work

  --pgbackrest PATH  the program (default: the one in PATH)
  --rounds N         how often each is measured, in turn (default: 5)
  --cold             also with an empty page cache; needs root
  --only STAGE       files (backup, restore, verify), chain (restores from the 30th incremental), archive or replay;
                     may be repeated; writes no document
  --folder PATH      where the clusters are built and kept: about 15 GB (default: holdfast-bench in the temp folder)
  --results PATH     where all figures go, as JSON (default: results.json in that folder)
  --document PATH    whose table is replaced (default: docs/performance.md)
  --print            print the table only
`

/** Throws an error for people when something is wrong with them. */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      pgbackrest: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      cold: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      folder: { type: 'string', default: join(tmpdir(), 'holdfast-bench') },
      results: { type: 'string' },
      document: { type: 'string', default: join(import.meta.dirname, '..', '..', 'docs', 'performance.md') },
      print: { type: 'boolean', default: false },
    },
  })
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds: expected a count, found "${values.rounds}"`)
  if (values.cold && !isRoot()) throw new Error('--cold: only root may empty the page cache')
  const chosen = values.only.map(toStage)
  return {
    rounds,
    folder: values.folder,
    pgBackRest: values.pgbackrest ?? findInPath('pgbackrest'),
    isCold: values.cold,
    stages: chosen.length === 0 ? stages : chosen,
    resultsFile: values.results ?? join(values.folder, 'results.json'),
    document: values.print || chosen.length > 0 ? undefined : values.document,
  }
}

function toStage(word: string): Stage {
  const stage = stages.find((candidate) => candidate === word)
  if (stage === undefined) throw new Error(`--only: expected ${stages.join(', ')}, found "${word}"`)
  return stage
}

function findInPath(program: string): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const found = folders.map((folder) => join(folder, program)).find((path) => existsSync(path))
  if (found === undefined) {
    throw new Error(
      `no "${program}" in PATH; install it ("apt-get install pgbackrest") or name it with --pgbackrest`,
    )
  }
  return found
}
