import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { RekeyDocument } from '../../api/repository-document.ts'
import type { NewSecret, OpenedKeys } from '../../app/repository-keys.ts'
import { OperationError } from '../../domain/operation-error.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { confirmName } from '../confirm-name.ts'
import { loadForRepo } from '../load-for-repo.ts'
import { printable } from '../output/text.ts'

interface RekeyOptions {
  readonly newKeyFile?: string
  readonly newPassphraseFile?: string
  readonly confirm?: string
  readonly dryRun?: true
}

/** `repo rekey`: makes one new secret the only one that opens a repository. No data is written anew. */
export function registerRepoRekey(repo: Command, environment: CommandEnvironment): void {
  repo
    .command('rekey')
    .description('make a new secret the only one that opens the repository')
    .option('--new-key-file <file>', 'the key file to use from now on; made when it is not there')
    .option('--new-passphrase-file <file>', 'the file that holds the passphrase to use from now on')
    .option('--dry-run', 'print the plan and change nothing')
    .option('--confirm <name>', 'the name of the repo')
    .action((options: RekeyOptions) => rekey(options, environment))
}

async function rekey(options: RekeyOptions, environment: CommandEnvironment): Promise<void> {
  const secret = readSecretOption(options)
  const { checkSecret, openKeys, rotateKeys } = await import('../../app/repository-keys.ts')
  const { repo, loaded } = await loadForRepo(environment)
  await using keys = await openKeys(repo, secret, environment.context)
  await checkSecret(keys, secret)
  if (options.dryRun === true) {
    const text = `would add a slot for ${printable(secret.path)} to repo ${repo.name}, and remove ${slotsText(keys)}\n`
    environment.answer({ document: toDocument(keys, secret, undefined), text: () => text })
    return
  }
  const doing = `rotating the key of repo "${repo.name}"`
  const warning = `Only ${secret.path} will open the repository; hosts with another secret fail until they are configured anew.`
  await confirmName({ doing, warning, expected: repo.name, given: options.confirm }, environment)
  const { slot, made } = await rotateKeys(keys, secret, environment.context)
  const text = doneText({ keys, secret, slot, made, file: loaded.file })
  environment.answer({ document: toDocument(keys, secret, slot), text: () => text })
}

function readSecretOption({ newKeyFile, newPassphraseFile }: RekeyOptions): NewSecret {
  if (newKeyFile !== undefined && newPassphraseFile === undefined)
    return { kind: 'key-file', path: resolve(newKeyFile), isMade: true }
  if (newPassphraseFile !== undefined && newKeyFile === undefined)
    return { kind: 'passphrase-file', path: resolve(newPassphraseFile), isMade: false }
  const found = newKeyFile === undefined ? 'neither' : 'both'
  throw new OperationError(
    'usage',
    `reading the arguments: expected one of --new-key-file and --new-passphrase-file, found ${found}`,
    { hint: 'Name the file that holds the secret to use from now on.' },
  )
}

function toDocument(
  { repo, location, ring }: OpenedKeys,
  { kind, path }: NewSecret,
  slot: string | undefined,
): RekeyDocument {
  return {
    version: 1,
    dryRun: slot === undefined,
    repo: repo.name,
    location,
    added: slot ?? null,
    removed: ring.slots.map(({ id }) => id),
    setting: { path: `repos.${repo.name}.${kind}`, value: path },
  }
}

const slotsText = ({ ring }: OpenedKeys): string =>
  `${ring.slots.length === 1 ? 'slot' : 'slots'} ${ring.slots.map(({ id }) => id).join(', ')}`

interface Done {
  readonly keys: OpenedKeys
  readonly secret: NewSecret
  readonly slot: string
  readonly made: 'created' | 'exists'
  readonly file: string | undefined
}

function doneText({ keys, secret, slot, made, file }: Done): string {
  const { repo } = keys
  const path = printable(secret.path)
  const configured = secret.kind === 'key-file' ? repo.keyFile : repo.passphraseFile
  const other = secret.kind === 'key-file' ? 'passphrase-file' : 'key-file'
  const isOtherSet = (secret.kind === 'key-file' ? repo.passphraseFile : repo.keyFile) !== undefined
  const lines = [
    `added slot ${slot} of repo ${repo.name} for ${path}, opened it, and removed ${slotsText(keys)}`,
    ...(made === 'created' ? [`${path} was created: keep a copy of it somewhere else`] : []),
    ...(configured === secret.path
      ? []
      : [
          '',
          `Until ${printable(file ?? 'the environment')} says this, on every host that uses the repository, nothing is archived:`,
          'repos:',
          `  ${repo.name}:`,
          `    ${secret.kind}: ${path}`,
          ...(isOtherSet ? [`and no ${other} any more.`] : []),
        ]),
  ]
  return lines.map((line) => `${line}\n`).join('')
}
