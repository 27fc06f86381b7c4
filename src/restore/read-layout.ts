import { type BytePath, toBytePath } from '../platform/byte-path.ts'
import { formatLsn, parseLsn } from '../domain/lsn.ts'
import { OperationError } from '../domain/operation-error.ts'
import type { RunContext } from '../domain/run-context.ts'
import type { ClusterRecord } from '../repository/cluster-record.ts'
import type { FileEntry } from '../repository/manifest-entry.ts'
import type { ManifestHead } from '../repository/manifest-head.ts'
import { readManifestEntries } from '../repository/manifest-reader.ts'
import type { Repository } from '../repository/open-repository.ts'
import { controlFilePath, EntryChecker } from './check-entry.ts'
import { markerFile, pendingControlFile, recoveryLog, supersededMarkerFile } from './restore-marker.ts'
import { FileTable, NumberRows, type Layout, type LayoutDirectory, type LayoutLink } from './layout.ts'

interface Growing {
  readonly directories: LayoutDirectory[]
  readonly files: FileTable
  readonly links: LayoutLink[]
  readonly runs: NumberRows
  readonly zeros: NumberRows
  readonly bytesOfRoot: Map<number, number>
  packedBytes: number
  controlFile: number | undefined
}

/**
 * What an earlier restore, promotion or role change may have left in the cluster before it was backed up: how this recovery
 * goes is not for them to say.
 */
const leftBehind: ReadonlySet<BytePath> = new Set([
  markerFile,
  supersededMarkerFile,
  recoveryLog,
  pendingControlFile,
  'promote',
  'recovery.signal',
  'standby.signal',
])

/** Reads a whole manifest and checks every entry. Throws `damaged` or `path-unsafe`; nothing was written then. */
export async function readLayout(
  { repository, cluster, head }: { repository: Repository; cluster: ClusterRecord; head: ManifestHead },
  context: RunContext,
): Promise<Layout> {
  refuseForeignLabel(head)
  const places = head.tablespaces.filter(({ location }) => location !== undefined).map(({ oid }) => oid)
  const checker = new EntryChecker(new Set([0, ...places]))
  const layout: Growing = {
    directories: [],
    files: new FileTable(),
    links: [],
    runs: new NumberRows(6),
    zeros: new NumberRows(3),
    bytesOfRoot: new Map(),
    packedBytes: 0,
    controlFile: undefined,
  }
  for await (const entry of readManifestEntries(repository, { clusterId: cluster.id, head }, context)) {
    const path = checker.check(entry)
    if (entry.root === 0 && leftBehind.has(path)) continue
    switch (entry.kind) {
      case 'directory':
        layout.directories.push({ root: entry.root, path, mode: (entry.mode & 0o750) | 0o700 })
        break
      case 'link':
        layout.links.push({ root: entry.root, path, target: toBytePath(entry.target) })
        break
      case 'file':
        addFile(layout, { entry, path }, head)
    }
  }
  return complete(layout, head)
}

function addFile(
  layout: Growing,
  { entry, path }: { entry: FileEntry; path: BytePath },
  head: ManifestHead,
): void {
  const { root, sizeBytes } = entry
  // Never writable for others, never setuid: a data directory has no use for either.
  const file = layout.files.add({ root, path, sizeBytes, mode: (entry.mode & 0o755) | 0o600 })
  layout.bytesOfRoot.set(root, (layout.bytesOfRoot.get(root) ?? 0) + sizeBytes)
  if (root === 0 && path === controlFilePath) layout.controlFile = file
  let fileOffset = 0
  for (const { length, source } of entry.extents) {
    if (source.kind === 'zeros') {
      layout.zeros.add([file, fileOffset, length])
    } else {
      if (source.pack >= head.packs.length)
        throw damaged(head, `a file refers to pack ${source.pack} of ${head.packs.length}`)
      layout.runs.add([source.pack, source.unit, source.offset, length, file, fileOffset])
      layout.packedBytes += length
    }
    fileOffset += length
  }
}

function complete({ controlFile, ...layout }: Growing, head: ManifestHead): Layout {
  if (controlFile === undefined) throw damaged(head, 'it has no control file')
  const roots = new Set(layout.directories.filter(({ path }) => path === '').map(({ root }) => root))
  for (const root of [0, ...layout.bytesOfRoot.keys()]) {
    if (!roots.has(root)) throw damaged(head, `root ${root} has no directory`)
  }
  return { ...layout, controlFile }
}

/** Recovery begins where backup_label says, and everything was planned from where the catalogue says (R4). */
function refuseForeignLabel(head: ManifestHead): void {
  const { backupLabelFile, backup } = head
  const text = Buffer.from(backupLabelFile).toString('latin1')
  const starts = [...text.matchAll(/^START WAL LOCATION: ([0-9A-F]{1,8}\/[0-9A-F]{1,8}) \(file /gm)]
  const found = starts.map(([, lsn = '']) => lsn)
  const [first, second] = found
  if (first !== undefined && second === undefined && parseLsn(first) === backup.startLsn) return
  const told = found.length === 0 ? 'none' : found.join(' and ')
  throw damaged(head, `expected a backup_label that starts at ${formatLsn(backup.startLsn)}, found ${told}`)
}

function damaged({ backup }: ManifestHead, what: string): OperationError {
  return new OperationError('damaged', `reading the manifest of backup ${backup.label}: ${what}`, {
    hint: 'Restore from another backup or repository, and take a new backup.',
  })
}
