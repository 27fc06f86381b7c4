import type { Command } from 'commander'
import type { CommandEnvironment } from '../command-environment.ts'
import { setPin } from './pin.ts'

/** `unpin`: gives a backup or a dump back to the keep rules. */
export function registerUnpin(program: Command, environment: CommandEnvironment): void {
  program
    .command('unpin')
    .description('let the keep rules decide about a backup or a dump again')
    .argument('<label>', 'the backup or dump')
    .action((label: string) => setPin({ label, isPinned: false }, environment))
}
