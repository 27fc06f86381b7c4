import { Document } from 'yaml'
import type { ClusterName, RepoName } from '../domain/cluster-name.ts'
import type { StoreText } from './read-store-settings.ts'

/** What `init` knows about a new set-up. Keys that are not given are left to their defaults. */
export interface InitialConfiguration {
  readonly cluster: {
    readonly name: ClusterName
    readonly connection: string
    readonly passfile?: string | undefined
    readonly dataDirectory?: string | undefined
    readonly binDirectory?: string | undefined
    readonly runAs?: string | undefined
    readonly isLogicalOnly?: boolean | undefined
  }
  readonly repo: {
    readonly name: RepoName
    readonly location: string
    /** With neither of the two the repository is not encrypted. */
    readonly keyFile: string | undefined
    readonly passphraseFile?: string | undefined
    /** Settings of a bucket as they are written. */
    readonly s3?: StoreText | undefined
    /** Settings of a bucket of Google Cloud Storage as they are written. */
    readonly gcs?: StoreText | undefined
    /** Settings of a container of Azure as they are written. */
    readonly azure?: StoreText | undefined
    /** Settings of an SFTP server as they are written. */
    readonly sftp?: StoreText | undefined
  }
}

const schemaUrl = new URL('../../docs/holdfast.schema.json', import.meta.url)

/** The text of a new configuration file: what is set, and what else is often wanted as comments. */
export function renderConfiguration(initial: InitialConfiguration): string {
  const { cluster, repo } = initial
  // Pairs whose value is undefined are left out.
  const document = new Document({
    clusters: {
      [cluster.name]: {
        connection: cluster.connection,
        passfile: cluster.passfile,
        'data-directory': cluster.dataDirectory,
        'bin-directory': cluster.binDirectory,
        'run-as': cluster.runAs,
        'logical-only': cluster.isLogicalOnly === true ? true : undefined,
      },
    },
    repos: {
      [repo.name]: {
        location: repo.location,
        s3: unlessEmpty(repo.s3),
        gcs: unlessEmpty(repo.gcs),
        azure: unlessEmpty(repo.azure),
        sftp: unlessEmpty(repo.sftp),
        'key-file': repo.keyFile,
        'passphrase-file': repo.passphraseFile,
        encryption: (repo.keyFile ?? repo.passphraseFile) === undefined ? 'none' : undefined,
      },
    },
  })
  return `${heading}\n${document.toString({ lineWidth: 0 })}${often}`
}

function unlessEmpty(settings: StoreText | undefined): StoreText | undefined {
  return settings === undefined || Object.keys(settings).length === 0 ? undefined : settings
}

const heading = `# yaml-language-server: $schema=${schemaUrl.href}
# The configuration of Holdfast. "holdfast config show" prints every setting that is in force and where it came from,
# "holdfast config check" proves this file. No passwords here: they belong into a passfile.
`

const often = `
# Often wanted; the values are the defaults unless said otherwise.
# backup:
#   workers: 2
#   compression-level: 1
#   max-rate: 100MB # default: as fast as it goes
#   archive-timeout: 10m
#   fast-checkpoint: true
#   audit-every: 30
# archive:
#   prefetch: 16
# restore:
#   workers: 2
# keep: # default: nothing expires
#   window: 14d
#   monthly: 12
`
