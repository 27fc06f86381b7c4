import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { configurationSchema } from './configuration-schema.ts'
import type { Configuration } from './configuration-schema.ts'
import { describeIssue } from './describe-issue.ts'
import { findOverrides } from './environment-overrides.ts'
import type { Override } from './environment-overrides.ts'
import { parseYaml } from './parse-yaml.ts'
import type { ParsedYaml, SettingPath } from './parse-yaml.ts'
import { describeProblems } from './problem.ts'
import type { Problem } from './problem.ts'
import { readConfigurationFile, usualFiles } from './read-configuration-file.ts'
import type { ConfigurationFile, ConfigurationRequest } from './read-configuration-file.ts'
import { describeSources } from './setting-sources.ts'
import type { SettingInForce } from './setting-sources.ts'
import { isSection, section, withValueAt } from './setting-tree.ts'
import type { SettingTree } from './setting-tree.ts'
import { listSettings } from './settings.ts'

export interface LoadedConfiguration {
  /** The file that was read; undefined when the environment says everything. */
  readonly file: string | undefined
  readonly configuration: Configuration
  /** Every setting that there is, its value and where the value came from. */
  readonly sources: readonly SettingInForce[]
}

/**
 * Loads the configuration: the file, then the environment's overrides, then defaults. Fails closed: unknown, duplicate
 * and mistyped keys, unsafe file modes and variables that name no setting are all refused, and all of them are told.
 */
export async function loadConfiguration(request: ConfigurationRequest): Promise<LoadedConfiguration> {
  const file = await readConfigurationFile(request)
  if (file !== undefined) refuseWritable(file)
  const written = file === undefined ? undefined : parseYaml(file.text, file.file)
  const settings = listSettings()
  const values = topLevel(written)
  const found = findOverrides(request.environment, settings, {
    clusters: Object.keys(section(values['clusters'])),
    repos: Object.keys(section(values['repos'])),
  })
  if (file === undefined && found.overrides.length + found.problems.length === 0) throw missingFile(request)

  const merged = found.overrides.reduce((tree, { path, value }) => withValueAt(tree, path, value), values)
  const placeOf = (path: SettingPath): string => placeOfValue(path, found.overrides, written)
  const configuration = validate(merged, placeOf, found.problems)
  if (file !== undefined) refuseReadable(file, configuration)
  const sources = describeSources(settings, merged, { overrides: found.overrides, placeOf })
  return { file: file?.file, configuration, sources }
}

function missingFile(request: ConfigurationRequest): OperationError {
  const places = usualFiles(request).map(quote).join(' and ')
  return new OperationError('config-missing', `reading the configuration: no file at ${places}`, {
    hint: 'Write one with "holdfast init", or name it with --config or HOLDFAST_CONFIG.',
  })
}

function topLevel(written: ParsedYaml | undefined): SettingTree {
  if (written === undefined) return {}
  refuse(written.problems)
  if (isSection(written.value)) return written.value
  if (written.value === null || written.value === undefined) return {}
  const found = 'something else'
  throw invalid([{ place: written.place([]), path: '', expected: 'settings, such as "clusters:"', found }])
}

function validate(
  values: SettingTree,
  placeOf: (path: SettingPath) => string,
  problems: readonly Problem[],
): Configuration {
  const parsed = configurationSchema.safeParse(values)
  if (!parsed.success) {
    throw invalid([
      ...parsed.error.issues.flatMap((issue) => describeIssue(issue, values, placeOf)),
      ...problems,
    ])
  }
  refuse(problems)
  return parsed.data
}

function placeOfValue(
  path: SettingPath,
  overrides: readonly Override[],
  written: ParsedYaml | undefined,
): string {
  const override =
    overrides.find((candidate) => isAround(candidate.path, path)) ??
    (written === undefined ? overrides.find((candidate) => isAround(path, candidate.path)) : undefined)
  if (override !== undefined) return `environment variable ${override.variable}`
  return written === undefined ? 'environment' : written.place(path)
}

function isAround(outer: SettingPath, inner: SettingPath): boolean {
  return outer.every((segment, index) => segment === inner[index])
}

/** Who may write the file decides which programs run and where backups go, so only its owner may. */
function refuseWritable({ file, mode }: ConfigurationFile): void {
  if ((mode & 0o022) === 0) return
  throw new OperationError(
    'config-invalid',
    `reading the configuration ${quote(file)}: expected a file that only its owner may write, found mode ${octal(mode)}`,
    { hint: `Run "chmod go-w ${file}" after checking who could have changed it.` },
  )
}

/** A configuration that says where the keys are is nobody else's business. */
function refuseReadable({ file, mode }: ConfigurationFile, { clusters, repos }: Configuration): void {
  if ((mode & 0o007) === 0) return
  const namesSecrets =
    Object.values(repos).some((repo) => secretFilesOf(repo).some((secretFile) => secretFile !== undefined)) ||
    Object.values(clusters).some((cluster) => cluster.passfile !== undefined)
  if (!namesSecrets) return
  throw new OperationError(
    'config-invalid',
    `reading the configuration ${quote(file)}: expected mode 0640 or less, because it names secrets, found mode ${octal(mode)}`,
    { hint: `Run "chmod 640 ${file}".` },
  )
}

function secretFilesOf({
  keyFile,
  passphraseFile,
  s3,
  gcs,
  sftp,
  azure,
}: Configuration['repos'][keyof Configuration['repos']]): readonly (string | undefined)[] {
  return [
    keyFile,
    passphraseFile,
    s3?.secretKeyFile,
    gcs?.credentialsFile,
    sftp?.privateKeyFile,
    sftp?.passwordFile,
    azure?.keyFile,
    azure?.sasFile,
  ]
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0')
}

function refuse(problems: readonly Problem[]): void {
  if (problems.length > 0) throw invalid(problems)
}

function invalid(problems: readonly Problem[]): OperationError {
  return new OperationError('config-invalid', describeProblems(problems), {
    hint: 'Correct this and run "holdfast config check"; docs/configuration.md describes every setting.',
  })
}
