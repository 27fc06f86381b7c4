const optionsWithValue: ReadonlySet<string> = new Set([
  '--config',
  '--cluster',
  '--repo',
  '--repo-as-of',
  '--output',
  '--log-level',
])

/*
 * What must be known of the arguments before commander has read them: which command to load, and how to fail when they
 * cannot be read at all.
 */

/** The first word that is neither an option nor the value of a global option; undefined when there is none. */
export function commandWord(argv: readonly string[]): string | undefined {
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? ''
    if (!word.startsWith('-')) return word
    if (optionsWithValue.has(word)) index++
  }
  return undefined
}

/** Whether the answer is wanted as JSON. */
export function wantsJson(argv: readonly string[]): boolean {
  return valueOf(argv, '--output') === 'json'
}

/** The value of the last `--option VALUE` or `--option=VALUE` before `--`. */
export function valueOf(argv: readonly string[], option: string): string | undefined {
  const end = argv.indexOf('--')
  const own = end === -1 ? argv : argv.slice(0, end)
  return own
    .map((word, index) => {
      if (word === option) return own[index + 1]
      return word.startsWith(`${option}=`) ? word.slice(option.length + 1) : undefined
    })
    .findLast((value) => value !== undefined)
}
