import type { Command } from 'commander'
import type { DescribedBackup, DescribedCluster, DescribedRepo } from '../../app/describe-cluster.ts'
import { firstSeenText, prunedText } from '../../app/guarded-catalogue.ts'
import type { DescribedWindow } from '../../app/window-commits.ts'
import { nounOf } from '../../domain/backup-label.ts'
import { formatByteSize } from '../../domain/byte-size.ts'
import { formatDuration } from '../../domain/duration.ts'
import { formatLsn } from '../../domain/lsn.ts'
import { isOperationError } from '../../domain/operation-error.ts'
import { formatInstant, type Instant } from '../../domain/target-time.ts'
import type { SegmentRun } from '../../domain/wal-gaps.ts'
import type { BackupEntry, ListedBackup } from '../../repository/backup-entry.ts'
import { damagedLabels } from '../../verify/verify-state.ts'
import { loadAsOwner } from '../become-owner.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { damageLines } from '../output/damage-lines.ts'
import { damageText } from '../output/damage-text.ts'
import { dumpTable } from '../output/dump-text.ts'
import { formatTable } from '../output/table.ts'
import { formatAge, printable } from '../output/text.ts'
import type { Style } from '../output/text.ts'
import { drawWindows } from '../output/window-picture.ts'

/** `info`: what the repositories hold and which moments can be reached; with a label, one backup or dump in detail. */
export function registerInfo(program: Command, environment: CommandEnvironment): void {
  program
    .command('info')
    .description('show backups, dumps, WAL and what can be recovered')
    .argument('[label]', 'one backup or dump in detail')
    .action((label?: string) =>
      label === undefined ? showCluster(environment) : showBackup(label, environment),
    )
}

async function showCluster(environment: CommandEnvironment): Promise<void> {
  const selection = await select(environment)
  const [{ describeCluster }, { listCluster }] = await Promise.all([
    import('../../app/describe-cluster.ts'),
    import('../../app/list-cluster.ts'),
  ])
  const described = await describeCluster(selection, environment.context)
  const now = environment.context.clock.now()
  environment.answer({
    document: listCluster(described),
    text: (style) => clusterText(described, { now, style }),
  })
  const olderOnes = described.repos.flatMap(({ age: { freshness } }) =>
    freshness.kind === 'went-back' ? [freshness] : [],
  )
  const [failure] = [...described.failures, ...olderOnes]
  if (failure !== undefined)
    environment.exitWith(isOperationError(failure.error) ? failure.error.exitCode : 1)
}

async function showBackup(label: string, environment: CommandEnvironment): Promise<void> {
  const selection = await select(environment)
  if (nounOf(label) === 'dump') {
    await showDump({ ...selection, label }, environment)
    return
  }
  const [{ describeBackup }, { listBackupDetails }] = await Promise.all([
    import('../../app/describe-cluster.ts'),
    import('../../app/list-cluster.ts'),
  ])
  const described = await describeBackup({ ...selection, label }, environment.context)
  environment.answer({ document: listBackupDetails(described), text: () => backupText(described) })
}

async function showDump(
  selection: Awaited<ReturnType<typeof select>> & { readonly label: string },
  environment: CommandEnvironment,
): Promise<void> {
  const [{ describeDump }, { listDumpDetails }, { dumpText }] = await Promise.all([
    import('../../app/describe-dump.ts'),
    import('../../app/list-dump.ts'),
    import('../output/dump-text.ts'),
  ])
  const described = await describeDump(selection, environment.context)
  environment.answer({ document: listDumpDetails(described), text: (style) => dumpText(described, style) })
}

async function select(environment: CommandEnvironment) {
  const { configuration } = await loadAsOwner(environment)
  const { cluster: clusterName, repo: repoName } = environment.options
  return { configuration, clusterName, repoName }
}

interface Look {
  readonly now: number
  readonly style: Style
}

function clusterText(described: DescribedCluster, look: Look): string {
  const { repos, failures } = described
  const broken = failures.map(({ name: repo, location, error }) => {
    const message = error instanceof Error ? error.message : String(error)
    return `${look.style('red', `repo ${repo}`)} (${printable(location)}) cannot be read: ${printable(message)}\n`
  })
  return [...repos.map((repo) => repoText(described, repo, look)), ...broken].join('\n')
}

function repoText(
  { name, isLogicalOnly }: Pick<DescribedCluster, 'name' | 'isLogicalOnly'>,
  repo: DescribedRepo,
  look: Look,
): string {
  const { style } = look
  const { cluster, location, isEncrypted, backups, dumps } = repo
  // What there is is told in any case: the cluster may have had backups before.
  const isPhysical = !isLogicalOnly || backups.length > 0
  const listed = [...backups, ...dumps]
  const stored = listed.reduce((sum, { storedBytes }) => sum + storedBytes, repo.inventory.storedBytes)
  return [
    `${style('bold', `cluster ${name}`)}: PostgreSQL ${cluster.major}, system ${cluster.systemIdentifier}\n`,
    `repo ${repo.name}: ${printable(location)}, ${isEncrypted ? '' : 'not '}encrypted, ${formatByteSize(stored)} stored\n`,
    ...ageLines(repo, style),
    ...(isPhysical ? backupSections(repo, look) : []),
    dumps.length > 0
      ? `\n${style('bold', 'dumps')}\n${dumpTable(repo, look)}`
      : isLogicalOnly
        ? `\n${style('bold', 'dumps')}\nnone yet; "holdfast dump --all" takes the first\n`
        : '',
    ...(isPhysical ? walSections(repo, style) : []),
    `\n${style('bold', 'verified')}: ${integrityText(repo, look)}`,
    ...(isPhysical ? [`${style('bold', 'restore tried')}: ${drillText(repo, look)}`] : []),
  ].join('')
}

function backupSections(repo: DescribedRepo, { now, style }: Look): readonly string[] {
  const { backups, windows } = repo
  return [
    `\n${style('bold', 'recovery window')}\n`,
    windows.length === 0
      ? 'nothing can be recovered yet: there is no backup with all its WAL\n'
      : windows.map((window) => windowText(window, style) + lostText(window, repo, style)).join(''),
    drawWindows(repo, shortTime),
    `\n${style('bold', 'backups')}\n`,
    backups.length === 0
      ? 'none yet; "holdfast backup" takes the first\n'
      : formatTable(
          backupColumns,
          backups.map((backup) => backupRow(backup, repo, now)),
          style,
        ),
  ]
}

function walSections(repo: DescribedRepo, style: Style): readonly string[] {
  const size = formatByteSize(repo.inventory.storedBytes)
  return [`\n${style('bold', 'WAL archive')}: ${size}\n`, walText(repo, style)]
}

/** Says when the listing may be an old one; nothing when that is out of the question. */
function ageLines(
  { age: { freshness, writtenAtMs, forgetful } }: DescribedRepo,
  style: Style,
): readonly string[] {
  if (freshness.kind === 'went-back') {
    const { message, hint = '' } = freshness.error
    return [`${style('red', printable(message))}\n`, `hint: ${printable(hint)}\n`]
  }
  return [
    ...(freshness.kind === 'first-seen' ? [`${firstSeenText(writtenAtMs)}\n`] : []),
    ...(freshness.kind === 'pruned' ? [style('yellow', prunedText(freshness, writtenAtMs)), '\n'] : []),
    ...(forgetful === undefined
      ? []
      : [style('yellow', `this host cannot remember what it sees: ${printable(forgetful.message)}`), '\n']),
  ]
}

function integrityText({ integrity }: DescribedRepo, look: Look): string {
  const { lastCompletedAtMs, oldestProofAtMs, damage = [] } = integrity ?? {}
  const age = (at: number | undefined): string => (at === undefined ? 'never' : formatAge(look.now - at))
  const ages = `all of it ${age(lastCompletedAtMs)}, oldest proof ${age(oldestProofAtMs)}\n`
  return damage.length === 0 ? ages : `${ages}${damageText(damage, look)}`
}

function drillText({ drill }: DescribedRepo, { now, style }: Look): string {
  if (drill === undefined) return 'never; "holdfast drill" does it\n'
  const { outcome, beganAtMs, filesMs, recoveryMs } = drill
  const text = `${outcome.replace('-', ' ')} ${formatAge(now - beganAtMs)}, ${formatDuration(filesMs + recoveryMs)}`
  return `${outcome === 'passed' ? text : style(outcome === 'failed' ? 'red' : 'yellow', text)}\n`
}

function windowText(
  { timeline, oldest, firstCommitAt, toLsn, toTime, hasGap }: DescribedWindow,
  style: Style,
): string {
  const end =
    toTime === undefined
      ? 'the end of the archive; the newest WAL holds no commit'
      : `${shortTime(toTime)}, the last commit`
  const first = firstCommitAt === undefined ? '' : `; the first commit is of ${shortTime(firstCommitAt)}`
  const position = toLsn === undefined ? '' : ` (LSN ${formatLsn(toLsn)})`
  const gap = hasGap ? style('yellow', '; WAL is missing behind that') : ''
  return [
    `from  ${shortTime(oldest.stoppedAt)} (LSN ${formatLsn(oldest.stopLsn)}, backup ${oldest.label})${first}\n`,
    `to    ${end}${position}, on timeline ${timeline}${gap}\n`,
  ].join('')
}

/** A window names its ends: what lies between them may be lost. */
function lostText({ timeline, oldest, toLsn }: DescribedWindow, { integrity }: DescribedRepo, style: Style) {
  const lost = (integrity?.damage ?? [])
    .flatMap((damage) => damage.lost)
    .filter(
      (moments) =>
        moments.timeline === timeline &&
        (toLsn === undefined || moments.fromLsn < toLsn) &&
        (moments.until === undefined || moments.until.lsn > oldest.stopLsn),
    )
  if (lost.length === 0) return ''
  return style('red', 'verify found damage within: not every moment of it can be reached, see below\n')
}

const backupColumns = [
  { title: 'label' },
  { title: 'type' },
  { title: 'ended' },
  { title: 'took', align: 'right' },
  { title: 'tli', align: 'right' },
  { title: 'start LSN' },
  { title: 'stop LSN' },
  { title: 'size', align: 'right' },
  { title: 'added', align: 'right' },
  { title: 'refers to', align: 'right' },
  { title: 'frees', align: 'right' },
  { title: 'state' },
] as const

function backupRow(backup: ListedBackup, repo: DescribedRepo, now: number): readonly string[] {
  const sizes = repo.sizes?.get(backup.label)
  const { label, type, timeline, startLsn, stopLsn, restoredBytes, storedBytes } = backup
  return [
    label,
    type,
    formatAge(now - toMs(backup.stoppedAt)),
    tookText(backup),
    String(timeline),
    formatLsn(startLsn),
    formatLsn(stopLsn),
    formatByteSize(restoredBytes),
    formatByteSize(storedBytes),
    sizeText(sizes?.referencedBytes),
    sizeText(sizes?.freedBytes),
    stateText(backup, repo),
  ]
}

const sizeText = (bytes: number | undefined): string => (bytes === undefined ? '?' : formatByteSize(bytes))

function stateText(backup: ListedBackup, { unrestorable, integrity }: DescribedRepo): string {
  const { label, damagedPageCount } = backup
  const words = [
    ...(damagedLabels(integrity).has(label) ? ['DAMAGED'] : []),
    ...(unrestorable.has(label) ? ['WAL is missing'] : []),
    ...(damagedPageCount > 0 ? [`${damagedPageCount} damaged pages`] : []),
  ]
  return [...(words.length === 0 ? ['ok'] : words), ...retentionWords(backup)].join(', ')
}

/** What was decided about a backup since it was taken. */
function retentionWords({ isPinned, walRetention }: ListedBackup): readonly string[] {
  return [...(isPinned ? ['pinned'] : []), ...(walRetention === 'own' ? ['own WAL only'] : [])]
}

function walText({ inventory }: DescribedRepo, style: Style): string {
  const lines = inventory.timelines.flatMap(({ timeline, ranges, gaps, isOriginKnown }) => [
    ...ranges.map((range) => `timeline ${timeline}: ${rangeText(range)}`),
    ...gaps.map((gap) => style('yellow', `timeline ${timeline}: missing ${rangeText(gap)}`)),
    ...(isOriginKnown ? [] : [style('yellow', `timeline ${timeline}: its history file is missing`)]),
  ])
  const conflicts = inventory.conflicts.map(({ name, digests }) =>
    style('red', `${name.name}: ${digests.length} different contents; two servers archive as one cluster`),
  )
  const all = [...lines, ...conflicts]
  return all.length === 0 ? 'nothing is archived yet\n' : all.map((line) => `${line}\n`).join('')
}

function rangeText({ first, last, count, startLsn, endLsn }: SegmentRun): string {
  const names = count === 1n ? first : `${first} to ${last}`
  return `${names} (${count} ${count === 1n ? 'segment' : 'segments'}, LSN ${formatLsn(startLsn)} to ${formatLsn(endLsn)})`
}

function backupText(described: DescribedBackup): string {
  const { backup, cluster, repo, location, head, sizes, damagedFiles } = described
  const goesOn = backup.parent === undefined ? '' : `, goes on from ${backup.parent}`
  const rows: readonly (readonly [string, string])[] = [
    [
      'backup',
      `${backup.label} (${backup.type}${backup.isAudited === true ? ', audited' : ''}) of cluster ${cluster}${goesOn}`,
    ],
    ['repo', `${repo}, ${printable(location)}`],
    ['server', `PostgreSQL ${head.serverVersion}, system ${head.systemIdentifier}`],
    ['checksums', head.hasDataChecksums ? 'on' : 'off: damaged pages are not noticed'],
    ['began', formatInstant(backup.startedAt)],
    ['ended', `${formatInstant(backup.stoppedAt)} (${tookText(backup)})`],
    [
      'WAL',
      `LSN ${formatLsn(backup.startLsn)} to ${formatLsn(backup.stopLsn)} on timeline ${backup.timeline}`,
    ],
    ['size', `${formatByteSize(backup.restoredBytes)} in ${backup.fileCount} files`],
    ['added', formatByteSize(backup.storedBytes)],
    ['refers to', `${sizeText(sizes?.referencedBytes)} in ${head.packs.length} packs`],
    ['frees', `${sizeText(sizes?.freedBytes)} when it is deleted, beside WAL`],
    ...head.tablespaces.map(
      ({ oid, name, location: place }) =>
        ['tablespace', printable(`${name} (${oid}): ${place ?? 'in the data directory'}`)] as const,
    ),
  ]
  const damage = damagedFiles.length === 0 ? [] : damageLines(backup.damagedPageCount, damagedFiles)
  return [...rows.map(([title, text]) => `${title.padEnd(10)}  ${text}`), ...damage]
    .map((line) => `${line}\n`)
    .join('')
}

function tookText({ startedAt, stoppedAt }: BackupEntry): string {
  return formatDuration(toMs(stoppedAt) - toMs(startedAt))
}

/** To the second: `info --output json` has it all. */
function shortTime(instant: Instant): string {
  return `${formatInstant(instant).slice(0, 19).replace('T', ' ')} UTC`
}

const toMs = (instant: Instant): number => Number(instant / 1000n)
