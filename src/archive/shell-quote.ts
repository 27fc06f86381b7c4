import assert from 'node:assert/strict'

/** One word of a POSIX shell command line that stands for exactly this text, whatever is in it but a NUL. */
export function shellQuote(text: string): string {
  assert.ok(!text.includes('\0'))
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}

/** The same inside an archive_command or a restore_command, where PostgreSQL reads `%` first. */
export function commandQuote(text: string): string {
  return shellQuote(text).replaceAll('%', '%%')
}
