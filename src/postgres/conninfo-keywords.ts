import { OperationError } from '../domain/operation-error.ts'

const isSpace = (character: string | undefined): boolean => character !== undefined && /\s/.test(character)

/**
 * Splits `keyword = value` pairs by libpq's rules (conninfo_parse in fe-connect.c): blanks around "=" do not count, a
 * value with blanks stands in single quotes, and a backslash takes the next character as it is.
 */
export function splitKeywordValues(text: string): [string, string][] {
  const pairs: [string, string][] = []
  let offset = skipSpace(text, 0)
  while (offset < text.length) {
    const equals = text.indexOf('=', offset)
    const keyword = text.slice(offset, equals === -1 ? text.length : equals).trimEnd()
    if (equals === -1 || keyword === '' || /\s/.test(keyword)) {
      // Only the first word: what follows may be a password.
      throw malformed(`missing "=" after "${keyword.split(/\s/)[0] ?? ''}"`)
    }
    const start = skipSpace(text, equals + 1)
    const { value, end } = text[start] === "'" ? quotedValue(text, start + 1) : plainValue(text, start)
    pairs.push([keyword, value])
    offset = skipSpace(text, end)
  }
  return pairs
}

function skipSpace(text: string, start: number): number {
  let offset = start
  while (isSpace(text[offset])) offset += 1
  return offset
}

function plainValue(text: string, start: number): { value: string; end: number } {
  let value = ''
  let offset = start
  while (offset < text.length && !isSpace(text[offset])) {
    if (text[offset] === '\\') offset += 1
    value += text[offset] ?? ''
    offset += 1
  }
  return { value, end: offset }
}

function quotedValue(text: string, start: number): { value: string; end: number } {
  let value = ''
  for (let offset = start; offset < text.length; offset += 1) {
    if (text[offset] === "'") return { value, end: offset + 1 }
    if (text[offset] === '\\') offset += 1
    value += text[offset] ?? ''
  }
  throw malformed('a quoted value has no closing quote')
}

function malformed(message: string): OperationError {
  return new OperationError('config-invalid', `connection string: ${message}`, {
    hint: 'Write keyword=value pairs, with values that hold blanks in single quotes, or a postgresql:// address.',
  })
}
