const mostLines = 5

/** What a program said last, in one line: from its error on, where the statement that it quotes is long. */
export function lastLines(stderr: string): string {
  const lines = stderr.trim().split('\n')
  const errorIndex = lines.findIndex((line) => /^(?:pg_\w+|psql)\b.*\b(?:error|fatal):/i.test(line))
  const lastIndex = Math.max(0, lines.length - mostLines)
  const begin = errorIndex < 0 ? lastIndex : Math.min(errorIndex, lastIndex)
  return lines
    .slice(begin, begin + mostLines)
    .map((line) => line.trim())
    .join('; ')
}
