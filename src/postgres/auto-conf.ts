import assert from 'node:assert/strict'

/** A setting found in a configuration file. */
export interface FoundSetting {
  /** Lower case, as PostgreSQL compares names without regard to case. */
  readonly name: string
  readonly value: string
  /** Counts from 1. */
  readonly line: number
}

const beginMark = '# holdfast: begin'
const endMark = '# holdfast: end'

/** What an earlier recovery may have left behind and the next one must not obey (R44). */
const recoverySettings: ReadonlySet<string> = new Set(
  (
    'recovery_target recovery_target_action recovery_target_inclusive recovery_target_lsn recovery_target_name ' +
    'recovery_target_time recovery_target_timeline recovery_target_xid restore_command recovery_end_command ' +
    'archive_cleanup_command promote_trigger_file primary_conninfo primary_slot_name'
  ).split(' '),
)

const directive =
  /^[ \t]*(?<name>[A-Za-z_][A-Za-z0-9_$.]*)[ \t]*(?:=[ \t]*|[ \t]+)(?<value>'(?:[^'\\]|\\.|'')*'|[^\s'#]*)/

/**
 * The bytes of postgresql.auto.conf for the next recovery: recovery settings of the past and our own earlier block taken
 * out, ours appended as a marked block, every other byte as it was. Later lines win in PostgreSQL, so ours do.
 */
export function rewriteAutoConf(existing: Uint8Array, settings: Readonly<Record<string, string>>): Buffer {
  // latin1 keeps every byte whatever encoding the file has.
  const lines = splitLines(Buffer.from(existing).toString('latin1'))
  const kept = withoutOurBlocks(lines).filter((line) => !isRecoverySetting(line))
  const head = kept.join('')
  const separator = head === '' || head.endsWith('\n') ? '' : '\n'
  return Buffer.concat([Buffer.from(head + separator, 'latin1'), Buffer.from(renderBlock(settings), 'utf8')])
}

/** A value as a configuration file takes it: in single quotes, with quotes, backslashes and line breaks escaped. */
export function quoteSettingValue(value: string): string {
  assert(!value.includes('\0'), 'a setting cannot hold a zero byte')
  const escaped = value
    .replaceAll('\\', '\\\\')
    .replaceAll("'", "''")
    .replaceAll('\n', String.raw`\n`)
    .replaceAll('\r', String.raw`\r`)
  return `'${escaped}'`
}

/** Recovery settings that a configuration file makes: they act on a recovery beside what we write (R44). */
export function listRecoverySettings(text: string): readonly FoundSetting[] {
  return listSettings(text).filter(({ name }) => recoverySettings.has(name))
}

/** The files and directories that a configuration file pulls in, as it writes them. */
export function listIncludes(text: string): readonly FoundSetting[] {
  return listSettings(text).filter(({ name }) => /^include(?:_dir|_if_exists)?$/.test(name))
}

/** Every setting of a configuration file in the order of its lines, without comments. */
export function listSettings(text: string): readonly FoundSetting[] {
  return splitLines(text).flatMap((line, index) => {
    const found = parseDirective(line)
    return found === undefined ? [] : [{ ...found, line: index + 1 }]
  })
}

function parseDirective(line: string): { name: string; value: string } | undefined {
  const parts = directive.exec(line)?.groups
  const name = parts?.['name']
  return name === undefined ? undefined : { name: name.toLowerCase(), value: unquote(parts?.['value'] ?? '') }
}

const controlEscapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

/** GUC_scanstr in guc-file.l: two quotes are one, a backslash takes octal digits, a control letter or itself. */
function unquote(value: string): string {
  if (!value.startsWith("'")) return value
  return value
    .slice(1, -1)
    .replaceAll(/''|\\([0-7]{1,3})|\\(.)/g, (_match: string, octal?: string, letter?: string) => {
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8) & 0xff)
      return letter === undefined ? "'" : (controlEscapes[letter] ?? letter)
    })
}

function isRecoverySetting(line: string): boolean {
  const found = parseDirective(line)
  return found !== undefined && recoverySettings.has(found.name)
}

/** A begin without its end takes only the mark: what follows may be the operator's. */
function withoutOurBlocks(lines: readonly string[]): string[] {
  const kept: string[] = []
  let index = 0
  while (index < lines.length) {
    const line = lines[index] ?? ''
    const end = line.trim() === beginMark ? lines.findIndex((mark, at) => at > index && isMark(mark)) : -1
    if (end !== -1 && lines[end]?.trim() === endMark) index = end
    else if (!isMark(line)) kept.push(line)
    index += 1
  }
  return kept
}

function isMark(line: string): boolean {
  return line.trim() === beginMark || line.trim() === endMark
}

function renderBlock(settings: Readonly<Record<string, string>>): string {
  const lines = Object.entries(settings).map(([name, value]) => {
    assert(/^[a-z_][a-z0-9_.]*$/.test(name), `"${name}" is not the name of a setting`)
    return `${name} = ${quoteSettingValue(value)}\n`
  })
  return `${beginMark}\n${lines.join('')}${endMark}\n`
}

/** Lines with their ends, so that joining them gives the text back. */
function splitLines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}
