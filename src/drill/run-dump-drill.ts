import { isOperationError, OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import type { RunContext } from '../domain/run-context.ts'
import { formatOf } from '../logical/choose-member.ts'
import { readOutline, type DumpOutline } from '../logical/dump-outline.ts'
import type { ClientPrograms } from '../postgres/client-programs.ts'
import { isServerAnswer } from '../postgres/server-error.ts'
import type { DumpHead, DumpMember } from '../repository/dump-head.ts'
import { readMember, type DumpPlace } from '../repository/dump-reader.ts'
import type { EmptyServer, EmptyServerRequest } from '../sandbox/open-empty-server.ts'
import { checkAssertions } from './check-assertions.ts'
import { chooseCreation } from './choose-creation.ts'
import { countRows } from './count-rows.ts'
import { dumpOutcomeOf, type DumpDrillCheck, type DumpDrillReport } from './dump-drill-report.ts'
import { judgeLoads, judgeRoles, judgeRows, judgeTables, type TriedDatabase } from './judge-dump-drill.ts'
import { loadDrilled, loadWithoutGlobals, MadeForDump } from './load-drilled.ts'
import { loadGlobals, type LoadedGlobals } from './load-globals.ts'

export interface DumpDrillRequest {
  readonly head: DumpHead
  /** Statements that must each give one value that is true. */
  readonly assertions: readonly string[]
  /** Where they run: one of the dump. */
  readonly assertionDatabase: string | undefined
}

export interface DumpDrillTools {
  readonly place: DumpPlace
  readonly programs: ClientPrograms
  readonly serverVersion: string
  /** Where files are kept meanwhile, for the directory format. */
  readonly spoolParent: string
  /** Makes the server that is loaded into. */
  readonly open: (request: Pick<EmptyServerRequest, 'firstRole' | 'lockCount'>) => Promise<EmptyServer>
}

/** The role that most clusters had first; a dump with roles says which it was. */
const usualFirstRole = 'postgres'
/** What the entry of a dump may lock while it is made: a table, its sequences, its TOAST table and the index of that. */
const locksPerEntry = 6

/**
 * Proves a dump: all of it is loaded into a throw-away server, each database as `load --create` does, and its tables and rows are
 * counted. Passes only if every check was made and found nothing wrong. A load that fails is a report, too; what keeps it from
 * being tried, such as `no-space`, is thrown, and `usage` for a dump that holds content without definitions.
 */
export async function runDumpDrill(
  request: DumpDrillRequest,
  tools: DumpDrillTools,
  context: RunContext,
): Promise<DumpDrillReport> {
  const { head } = request
  const begun = {
    beganAtMs: context.clock.now(),
    label: head.label,
    serverVersion: tools.serverVersion,
  }
  const described = await orProblem(() => describeAll(head, tools, context))
  if ('problem' in described) return { ...begun, ...unloaded('load', described.problem) }
  const firstRole = head.facts['first role'] ?? usualFirstRole
  const most = Math.max(0, ...described.result.map(({ outline }) => outline.entryCount))
  await using server = await tools.open({ firstRole, lockCount: most * locksPerEntry })
  const globals = await orProblem(() => makeRoles({ head, firstRole, server }, tools, context))
  if ('problem' in globals) return { ...begun, ...unloaded('roles', globals.problem) }
  const proving = { described: described.result, globals: globals.result, server }
  return { ...begun, ...(await proveAll({ ...request, ...proving }, tools, context)) }
}

/** The report about a dump that does not even say what it holds. */
export function unreadableDump(
  { label }: Pick<DumpHead, 'label'>,
  { message }: OperationError,
  { clock }: RunContext,
): DumpDrillReport {
  return { beganAtMs: clock.now(), label, serverVersion: undefined, ...unloaded('load', message) }
}

type Proved = Omit<DumpDrillReport, 'beganAtMs' | 'label' | 'serverVersion'>

function unloaded(name: DumpDrillCheck['name'], message: string): Proved {
  const checks = [{ name, state: 'failed', message, findings: [] }] as const
  return { outcome: 'failed', checks, databases: [], loadMs: 0, checkMs: 0 }
}

interface Described {
  readonly member: DumpMember
  readonly database: string
  readonly outline: DumpOutline
}

/** What the databases of a dump hold, before a server is made for them. */
async function describeAll(
  { label, members }: DumpHead,
  { place, programs, spoolParent }: DumpDrillTools,
  context: RunContext,
): Promise<readonly Described[]> {
  const described: Described[] = []
  for (const member of members) {
    const { database, format } = member
    if (member.kind !== 'database' || database === undefined) continue
    const chunks = readMember(place, { entry: { label }, member }, context)
    const request = { programs, chunks, spoolParent: format === 'directory' ? spoolParent : undefined }
    const outline = await readOutline({ ...request, format }, context)
    if (outline.isDataOnly) throw dataOnly(label, database)
    described.push({ member, database, outline })
  }
  return described
}

function dataOnly(label: string, database: string): OperationError {
  return new OperationError(
    'usage',
    `drilling dump ${label}: expected definitions of what is in database ${quote(database)}, found rows only`,
    {
      hint: 'A dump that was taken with "--data-only" can only be loaded where its tables are: drill one that has both.',
    },
  )
}

/** Undefined: the dump holds none. */
async function makeRoles(
  { head, ...request }: { readonly head: DumpHead; readonly firstRole: string; readonly server: EmptyServer },
  { place, programs }: DumpDrillTools,
  context: RunContext,
): Promise<LoadedGlobals | undefined> {
  const member = head.members.find(({ kind }) => kind === 'globals')
  if (member === undefined) return undefined
  const chunks = readMember(place, { entry: { label: head.label }, member }, context)
  return loadGlobals({ ...request, programs, chunks }, context)
}

interface Proving extends DumpDrillRequest {
  readonly described: readonly Described[]
  readonly globals: LoadedGlobals | undefined
  readonly server: EmptyServer
}

async function proveAll(proving: Proving, tools: DumpDrillTools, context: RunContext): Promise<Proved> {
  const { clock } = context
  const { described, globals, server } = proving
  const began = clock.monotonic()
  const made = new MadeForDump()
  const tried: TriedDatabase[] = []
  // What is in the template would be in whatever is made after it.
  const isTemplate = ({ database }: Described): number => Number(database === server.conninfo.dbname)
  for (const one of described.toSorted((first, second) => isTemplate(first) - isTemplate(second))) {
    context.report({ kind: 'note', message: `loading database ${quote(one.database)}` })
    tried.push(await tryDatabase({ ...one, ...proving, made }, tools, context))
  }
  const checks = [
    judgeRoles(globals, made),
    judgeLoads(tried),
    judgeTables(tried),
    judgeRows(tried),
    await assertAll(proving, tried, context),
  ]
  const loadMs = tried.reduce((sum, one) => sum + one.loadMs, 0)
  return {
    outcome: dumpOutcomeOf(checks),
    checks,
    databases: tried.flatMap(({ database, rawBytes, result, ...one }) =>
      result.kind === 'loaded' ? [{ database, rawBytes, ...result.counted, loadMs: one.loadMs }] : [],
    ),
    loadMs,
    checkMs: Math.max(0, Math.round(clock.monotonic() - began) - loadMs),
  }
}

interface Trying extends Described {
  readonly head: DumpHead
  readonly globals: LoadedGlobals | undefined
  readonly server: EmptyServer
  readonly made: MadeForDump
}

async function tryDatabase(
  { head, member, database, outline, globals, server, made }: Trying,
  { place, programs, spoolParent }: DumpDrillTools,
  context: RunContext,
): Promise<TriedDatabase> {
  const read = (): AsyncIterable<Uint8Array> =>
    readMember(place, { entry: { label: head.label }, member }, context)
  const spooling = { parent: spoolParent, jobs: 1, sizeBytes: member.rawBytes }
  const loading = { server, programs, database, format: formatOf(member), read, spooling }
  let note: string | undefined
  let loadMs = 0
  const loaded = await orProblem(async () => {
    const { creation, problem } = await chooseCreation(loading, context)
    note = problem
    const load = { ...loading, creation }
    loadMs =
      globals === undefined ? await loadWithoutGlobals(load, made, context) : await loadDrilled(load, context)
    return countRows({ ...server.conninfo, dbname: database }, context)
  })
  if (!server.isAlive())
    throw new OperationError(
      'server-failed',
      `loading database ${quote(database)}: the throw-away server ended`,
    )
  const result =
    'problem' in loaded
      ? ({ kind: 'failed', problem: loaded.problem } as const)
      : ({ kind: 'loaded', counted: loaded.result } as const)
  return { database, rawBytes: member.rawBytes, outline, loadMs, result, note }
}

async function assertAll(
  { assertions, assertionDatabase: dbname, server }: Proving,
  tried: readonly TriedDatabase[],
  context: RunContext,
): Promise<DumpDrillCheck> {
  const isLoaded = tried.some(({ database, result }) => database === dbname && result.kind === 'loaded')
  if (assertions.length === 0 || (isLoaded && dbname !== undefined))
    return checkAssertions(
      assertions,
      { ...server.conninfo, ...(dbname !== undefined && { dbname }) },
      context,
    )
  const message = `database ${quote(dbname ?? '')} was not loaded`
  return { name: 'assertions', state: 'not-proven', message, findings: [] }
}

/** What says that the dump cannot be loaded, and not that it could not be tried. */
async function orProblem<Result>(
  work: () => Promise<Result>,
): Promise<{ readonly result: Result } | { readonly problem: string }> {
  try {
    return { result: await work() }
  } catch (error) {
    if (!isOperationError(error)) throw error
    if (/No space left on device/.test(error.message))
      throw new OperationError('no-space', `drilling a dump: ${error.message}`, { cause: error })
    const isVerdict =
      ['damaged', 'load-failed'].includes(error.code) ||
      (error.code === 'server-failed' && isServerAnswer(error))
    if (!isVerdict) throw error
    return { problem: error.message }
  }
}
