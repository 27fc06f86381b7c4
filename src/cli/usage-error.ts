import type { CommanderError } from 'commander'
import { OperationError } from '../domain/operation-error.ts'

/** What commander says about wrong arguments, in the form that all our errors have. */
export function toUsageError({ message }: CommanderError): OperationError {
  const [sentence = '', suggestion = ''] = message.replace(/^error: /, '').split('\n')
  const meant = /Did you mean (?:one of )?(.+)\?/.exec(suggestion)?.[1]
  return new OperationError('usage', `reading the arguments: ${inOurForm(sentence)}`, {
    hint: meant === undefined ? 'Add "--help" to see what the command takes.' : `Did you mean ${meant}?`,
  })
}

/** `too many arguments for 'x'. Expected 0 arguments but got 1.` becomes `too many arguments for "x": expected 0 ...` */
function inOurForm(sentence: string): string {
  return sentence
    .replaceAll("'", '"')
    .replace(/\. ([A-Z])/, (_, letter: string) => `: ${letter.toLowerCase()}`)
    .replace(/\.$/, '')
}
