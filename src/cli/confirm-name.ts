import { OperationError } from '../domain/operation-error.ts'
import type { CommandEnvironment } from './command-environment.ts'

interface Confirmation {
  /** What is about to be done, as in "removing a key of repo "local"". */
  readonly doing: string
  /** What it costs, in one sentence for somebody at a terminal. */
  readonly warning: string
  /** The name that must be given. */
  readonly expected: string
  /** What --confirm said. */
  readonly given: string | undefined
}

/** Throws `not-confirmed` unless the name was given, as an option or, at a terminal, typed now. */
export async function confirmName(
  { doing, warning, expected, given }: Confirmation,
  environment: CommandEnvironment,
): Promise<void> {
  const isAsked = given === undefined && process.stdin.isTTY
  const typed = isAsked ? await ask(`${warning} Type "${expected}" to go on: `, environment) : given
  if (typed === expected) return
  throw new OperationError('not-confirmed', `${doing}: expected the name "${expected}" as confirmation`, {
    hint: `Add "--confirm ${expected}" when that is what you want.`,
  })
}

async function ask(question: string, { surroundings }: CommandEnvironment): Promise<string> {
  const { createInterface } = await import('node:readline/promises')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return await terminal.question(question, { signal: surroundings.signal })
  } finally {
    terminal.close()
  }
}
