import assert from 'node:assert/strict'
import type { Brand } from './brand.ts'
import { epochMsOf } from './calendar.ts'
import { OperationError } from './operation-error.ts'
import { quote } from './quote.ts'

/** Names a backup or dump by when it began, UTC: `20260220-153000F` (full), `...I` (incr), `...L` (dump). */
export type BackupLabel = Brand<string, 'BackupLabel'>

export type BackupKind = 'full' | 'incr' | 'dump'

const letterOf = { full: 'F', incr: 'I', dump: 'L' } as const satisfies Record<BackupKind, string>
const kindOf: ReadonlyMap<string, BackupKind> = new Map([
  ['F', 'full'],
  ['I', 'incr'],
  ['L', 'dump'],
])
const writtenLabel = /^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)([FIL])$/

export function isBackupLabel(text: string): text is BackupLabel {
  return readLabel(text) !== undefined
}

export function parseBackupLabel(text: string): BackupLabel {
  if (!isBackupLabel(text)) {
    throw new OperationError('usage', `${quote(text)} is not the label of a backup`, {
      hint: 'Labels look like 20260220-153000F; "holdfast info" lists them.',
    })
  }
  return text
}

export function labelKind(label: BackupLabel): BackupKind {
  return mustRead(label).kind
}

/** What to call it in a message: of a text that may be no label, too. */
export function nounOf(label: string): 'backup' | 'dump' {
  return readLabel(label)?.kind === 'dump' ? 'dump' : 'backup'
}

/** The label's second, in milliseconds since the Unix epoch. Later than the true start when the clock had stepped back. */
export function labelTimeMs(label: BackupLabel): number {
  return mustRead(label).timeMs
}

/** Orders by time, for `toSorted`. */
export function compareLabels(a: BackupLabel, b: BackupLabel): number {
  return labelTimeMs(a) - labelTimeMs(b)
}

/**
 * The label of a backup that begins now. Its second is later than that of every existing label of any kind: when the
 * clock has stepped back, one second after the newest (R19). So labels never repeat and always order backups.
 */
export function nextLabel(nowMs: number, kind: BackupKind, existing: Iterable<BackupLabel>): BackupLabel {
  const earliestMs = [...existing].reduce((latest, label) => Math.max(latest, labelTimeMs(label) + 1000), 0)
  const second = new Date(Math.max(nowMs, earliestMs)).toISOString().slice(0, 19)
  const label = second.replaceAll(/[-:]/g, '').replace('T', '-') + letterOf[kind]
  assert(isBackupLabel(label), `no label is left after ${second}`)
  return label
}

function mustRead(label: BackupLabel): { readonly timeMs: number; readonly kind: BackupKind } {
  const read = readLabel(label)
  assert(read !== undefined)
  return read
}

function readLabel(text: string): { readonly timeMs: number; readonly kind: BackupKind } | undefined {
  const [, year, month, day, hour, minute, second, letter = ''] = writtenLabel.exec(text) ?? []
  const kind = kindOf.get(letter)
  const timeMs = epochMsOf({
    year: Number(year),
    month: Number(month),
    day: Number(day),
    hour: Number(hour),
    minute: Number(minute),
    second: Number(second),
  })
  return kind === undefined || timeMs === undefined ? undefined : { timeMs, kind }
}
