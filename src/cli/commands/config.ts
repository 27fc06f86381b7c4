import type { Command } from 'commander'
import type {
  ConfigurationCheckDocument,
  ConfigurationDocument,
  ConfigurationSchemaDocument,
} from '../../api/configuration-document.ts'
import type { LoadedConfiguration } from '../../config/load-configuration.ts'
import type { SettingInForce } from '../../config/setting-sources.ts'
import type { CommandEnvironment } from '../command-environment.ts'
import { formatTable } from '../output/table.ts'
import type { Style } from '../output/text.ts'

/** `config show`, `config check` and `config schema`. */
export function registerConfig(program: Command, environment: CommandEnvironment): void {
  const config = program.command('config').description('show and check the configuration')
  config
    .command('show')
    .description('print every setting that is in force and where its value came from')
    .action(async () => {
      const loaded = await environment.loadConfiguration()
      environment.answer({ document: toDocument(loaded), text: (style) => toText(loaded, style) })
    })
  config
    .command('check')
    .description('prove the configuration and the secret files that it names')
    .action(() => check(environment))
  config
    .command('schema')
    .description('print the JSON Schema of the configuration file, for editors')
    .action(async () => {
      const { configurationJsonSchema } = await import('../../config/settings.ts')
      const schema = configurationJsonSchema()
      const document: ConfigurationSchemaDocument = { version: 1, schema }
      environment.answer({ document, text: () => `${JSON.stringify(schema, null, 2)}\n` })
    })
}

async function check(environment: CommandEnvironment): Promise<void> {
  const { readSecretFile } = await import('../../config/read-secret-file.ts')
  const { file, configuration } = await environment.loadConfiguration()
  for (const { keyFile, passphraseFile } of Object.values(configuration.repos)) {
    const secretFile = keyFile ?? passphraseFile
    if (secretFile !== undefined) await readSecretFile(secretFile)
  }
  const clusters = Object.keys(configuration.clusters)
  const repos = Object.keys(configuration.repos)
  const document: ConfigurationCheckDocument = { version: 1, file: file ?? null, clusters, repos }
  environment.answer({
    document,
    text: () =>
      `the configuration ${file ?? 'of the environment'} is in order\nclusters: ${named(clusters)}\nrepos: ${named(repos)}\n`,
  })
}

function named(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.join(', ')
}

function toDocument({ file, sources }: LoadedConfiguration): ConfigurationDocument {
  return {
    version: 1,
    file: file ?? null,
    settings: sources.map(({ path, value, source, variable }) => ({
      path: path.join('.'),
      value: value ?? null,
      source: source.kind,
      place: source.kind === 'file' ? source.place : null,
      variable,
    })),
  }
}

function toText({ file, sources }: LoadedConfiguration, style: Style): string {
  const rows = sources.map((setting) => [
    setting.path.join('.'),
    describeValue(setting),
    describeSource(setting, file),
    setting.variable,
  ])
  const columns = [{ title: 'setting' }, { title: 'value' }, { title: 'from' }, { title: 'overridden by' }]
  const heading = file === undefined ? 'no configuration file' : `configuration file ${file}`
  return `${heading}\n\n${formatTable(columns, rows, style)}`
}

function describeValue({ value }: SettingInForce): string {
  if (value === undefined) return '-'
  return typeof value === 'object' ? value.join(', ') : String(value)
}

function describeSource({ source }: SettingInForce, file: string | undefined): string {
  switch (source.kind) {
    case 'file':
      return file === undefined ? source.place : source.place.replace(`${file}:`, 'line ')
    case 'environment':
      return 'environment'
    case 'default':
      return 'default'
    case 'none':
      return 'not set'
  }
}
