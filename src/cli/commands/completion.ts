import { Argument } from 'commander'
import type { Command } from 'commander'
import type { CompletionDocument } from '../../api/completion-document.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { completionScript, shells } from '../completion-script.ts'
import type { Shell } from '../completion-script.ts'

/** `completion SHELL`: a script that teaches a shell the commands and options. */
export function registerCompletion(program: Command, environment: CommandEnvironment): void {
  program
    .command('completion')
    .description('print a script that completes commands and options in a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .action((shell: Shell) => {
      const script = completionScript(program, shell)
      const document: CompletionDocument = { version: 1, shell, script }
      environment.answer({ document, text: () => script })
    })
}
