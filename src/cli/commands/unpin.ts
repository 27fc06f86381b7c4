import type { Command } from 'commander'
import type { CommandEnvironment } from '../command-environment.ts'
import { setPin } from './pin.ts'

/** `unpin`: gives a backup back to the keep rules. */
export function registerUnpin(program: Command, environment: CommandEnvironment): void {
  program
    .command('unpin')
    .description('let the keep rules decide about a backup again')
    .argument('<label>', 'the backup')
    .action((label: string) => setPin({ label, isPinned: false }, environment))
}
