import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { AddedKeyDocument, RemovedKeyDocument, RepoKeysDocument } from '../../api/repository-document.ts'
import type { NewSecret, OpenedKeys } from '../../app/repository-keys.ts'
import { OperationError } from '../../domain/operation-error.ts'
import type { KeySlot } from '../../repository/key-ring.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { confirmName } from '../confirm-name.ts'
import { loadForRepo } from '../load-for-repo.ts'
import { formatTable } from '../output/table.ts'
import { printable } from '../output/text.ts'
import type { Style } from '../output/text.ts'

interface AddOptions {
  readonly keyFile?: string
  readonly newKeyFile?: string
  readonly passphraseFile?: string
}

interface RemoveOptions {
  readonly confirm?: string
  readonly dryRun?: true
}

/** `repo keys`, `repo keys add` and `repo keys remove`: the secrets that open a repository. */
export function registerRepoKeys(repo: Command, environment: CommandEnvironment): void {
  const keys = repo
    .command('keys')
    .description('list the key slots: each is one way of unlocking the repository')
    .action(() => list(environment))
  keys
    .command('add')
    .description('add a slot for another secret, and prove that it opens')
    .option('--key-file <file>', 'a key file that is there')
    .option('--new-key-file <file>', 'a key file; made when it is not there')
    .option('--passphrase-file <file>', 'a file that holds a passphrase')
    .action((options: AddOptions) => add(options, environment))
  keys
    .command('remove')
    .description('remove a slot: its secret opens the repository no more')
    .argument('<slot>', 'the id of the slot')
    .option('--dry-run', 'print the plan and change nothing')
    .option('--confirm <name>', 'the name of the repo')
    .action((slot: string, options: RemoveOptions) => remove(slot, options, environment))
}

async function list(environment: CommandEnvironment): Promise<void> {
  await using keys = await open(environment)
  const { repo, location, ring } = keys
  const document: RepoKeysDocument = {
    version: 1,
    repo: repo.name,
    location,
    slots: ring.slots.map(({ id, kind, isOpened, problem }) => ({
      id,
      kind: kind ?? null,
      isOpened,
      problem: problem?.message ?? null,
    })),
  }
  environment.answer({ document, text: (style) => listText(keys, style) })
}

async function add(options: AddOptions, environment: CommandEnvironment): Promise<void> {
  const secret = readSecretOption(options)
  const { addKey, checkSecret } = await import('../../app/repository-keys.ts')
  await using keys = await open(environment)
  await checkSecret(keys, secret)
  const { slot, made } = await addKey(keys, secret, environment.context)
  const { repo, location } = keys
  const document: AddedKeyDocument = {
    version: 1,
    repo: repo.name,
    location,
    slot,
    file: secret.path,
    made,
  }
  const file = printable(secret.path)
  const lines = [
    `added slot ${slot} of repo ${repo.name} for ${file}, and opened it`,
    ...(made === 'created' ? [`${file} was created: keep a copy of it somewhere else`] : []),
  ]
  environment.answer({ document, text: () => lines.map((line) => `${line}\n`).join('') })
}

async function remove(
  slot: string,
  { confirm, dryRun }: RemoveOptions,
  environment: CommandEnvironment,
): Promise<void> {
  const { planKeyRemoval, removeKey } = await import('../../app/repository-keys.ts')
  await using keys = await open(environment)
  const { repo, location } = keys
  const plan = planKeyRemoval(keys, slot)
  const place = { version: 1, repo: repo.name, location, removed: slot }
  if (dryRun === true) {
    const document: RemovedKeyDocument = { ...place, dryRun, renewed: null }
    environment.answer({ document, text: () => `would remove slot ${slot} of repo ${repo.name}\n` })
    return
  }
  const doing = `removing key slot ${slot} of repo "${repo.name}"`
  const warning = 'The secret of this slot will open the repository no more.'
  await confirmName({ doing, warning, expected: repo.name, given: confirm }, environment)
  const renewed = await removeKey(keys, plan, environment.context)
  const document: RemovedKeyDocument = { ...place, dryRun: false, renewed }
  const lines = [
    `removed slot ${slot} of repo ${repo.name}; the configured secret has the slot ${renewed} now`,
    'Whoever has used the removed secret may have kept the keys: docs/keys.md says what removing does not do.',
  ]
  environment.answer({ document, text: () => lines.map((line) => `${line}\n`).join('') })
}

async function open(environment: CommandEnvironment): Promise<OpenedKeys> {
  const { openKeys } = await import('../../app/repository-keys.ts')
  const { repo } = await loadForRepo(environment)
  return openKeys(repo, undefined, environment.context)
}

function readSecretOption({ keyFile, newKeyFile, passphraseFile }: AddOptions): NewSecret {
  const given: readonly NewSecret[] = [
    ...(keyFile === undefined ? [] : [{ kind: 'key-file', path: resolve(keyFile), isMade: false } as const]),
    ...(newKeyFile === undefined
      ? []
      : [{ kind: 'key-file', path: resolve(newKeyFile), isMade: true } as const]),
    ...(passphraseFile === undefined
      ? []
      : [{ kind: 'passphrase-file', path: resolve(passphraseFile), isMade: false } as const]),
  ]
  const [secret, ...others] = given
  if (secret !== undefined && others.length === 0) return secret
  throw new OperationError(
    'usage',
    `reading the arguments: expected one of --key-file, --new-key-file and --passphrase-file, found ${given.length}`,
    { hint: 'Name the file that holds the secret to add.' },
  )
}

const columns = [{ title: 'slot' }, { title: 'kind' }, { title: 'state' }]

function listText({ repo, location, ring }: OpenedKeys, style: Style): string {
  const rows = ring.slots.map((slot) => [slot.id, kindText(slot), stateText(slot)])
  return `repo ${repo.name}: ${printable(location)}\n\n${formatTable(columns, rows, style)}`
}

function kindText({ kind }: KeySlot): string {
  return kind === 'key-file' ? 'key file' : (kind ?? '-')
}

function stateText({ isOpened, problem }: KeySlot): string {
  if (problem !== undefined) return `cannot be read: ${problem.message}`
  return isOpened ? 'the configured secret opens it' : 'of another secret'
}
