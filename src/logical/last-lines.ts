const mostLines = 5

/** What a program said last, in one line. */
export function lastLines(stderr: string): string {
  const lines = stderr.trim().split('\n').slice(-mostLines)
  return lines.map((line) => line.trim()).join('; ')
}
