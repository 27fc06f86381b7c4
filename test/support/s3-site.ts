import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { giveTree } from './give-tree.ts'
import type { HoldfastResult } from './holdfast.ts'
import type { TestServer } from './postgres-server.ts'
import type { S3Server } from './s3-server.ts'
import type { Scratch } from './scratch.ts'
import { makeStoreSite, StoreSite } from './store-site.ts'

interface Surroundings {
  readonly scratch: Scratch
  readonly server: TestServer
  readonly bucket: Pick<S3Server, 'endpoint' | 'bucket' | 'accessKeyId'>
}

/** What a user of a bucket has. */
export class S3Site extends StoreSite {
  readonly #surroundings: Surroundings

  constructor(folder: string, surroundings: Surroundings) {
    super(folder, surroundings.server, optionsFor(surroundings, join(folder, 'secret')))
    this.#surroundings = surroundings
  }

  get configFile(): string {
    return join(this.folder, 'holdfast.yaml')
  }

  override init(...options: readonly string[]): Promise<HoldfastResult> {
    const isElsewhere = options.some((option) => option.startsWith('--repo='))
    const repo = isElsewhere ? [] : [`--repo=s3:${this.#surroundings.bucket.bucket}/main`]
    return super.init(...repo, ...options)
  }

  /** Takes over the configuration of another host, with keys of its own. */
  async adopt({ configFile, folder }: S3Site): Promise<void> {
    const { bucket, scratch } = this.#surroundings
    const written = await readFile(configFile, 'utf8')
    const own = written
      .replaceAll(/access-key-id: .*/g, `access-key-id: ${bucket.accessKeyId}`)
      .replaceAll(`${folder}/secret`, join(this.folder, 'secret'))
    await writeFile(this.configFile, own, { mode: 0o600 })
    await giveTree(this.folder, scratch.user)
  }
}

export async function makeSite(surroundings: Surroundings, secret: string): Promise<S3Site> {
  const { scratch, server } = surroundings
  const options = (secretFile: string): readonly string[] => optionsFor(surroundings, secretFile)
  const { folder } = await makeStoreSite(scratch, server, { secret: `${secret}\n`, options })
  return new S3Site(folder, surroundings)
}

function optionsFor({ bucket }: Surroundings, secretFile: string): readonly string[] {
  return [
    `--s3=endpoint=${bucket.endpoint}`,
    `--s3=access-key-id=${bucket.accessKeyId}`,
    `--s3=secret-key-file=${secretFile}`,
  ]
}
