import type { CommanderError } from 'commander'
import { OperationError } from '../domain/operation-error.ts'

/** What commander says about wrong arguments, in the form that all our errors have. */
export function toUsageError({ message, code }: CommanderError): OperationError {
  if (code === 'commander.help') return missingSubcommand()
  const [sentence = '', suggestion = ''] = message.replace(/^error: /, '').split('\n')
  const meant = /Did you mean (?:one of )?(.+)\?/.exec(suggestion)?.[1]
  return new OperationError('usage', `reading the arguments: ${inOurForm(sentence)}`, {
    hint: meant === undefined ? 'Add "--help" to see what the command takes.' : `Did you mean ${meant}?`,
  })
}

/** A command that only has subcommands, without one of them. */
function missingSubcommand(): OperationError {
  return new OperationError('usage', 'reading the arguments: expected a subcommand, found none', {
    hint: 'Add "--help" to see which there are.',
  })
}

/** `too many arguments for 'x'. Expected 0 arguments but got 1.` becomes `too many arguments for "x": expected 0 ...` */
function inOurForm(sentence: string): string {
  return withoutValue(sentence)
    .replaceAll("'", '"')
    .replace(/\. ([A-Z])/, (_, letter: string) => `: ${letter.toLowerCase()}`)
    .replace(/\.$/, '')
}

/** What was given to an option that we do not have is left out: it may be a secret that somebody meant to pass. */
function withoutValue(sentence: string): string {
  return sentence.replace(/^(unknown option '-[^'=]*)=.*'/s, "$1'")
}
