import assert from 'node:assert/strict'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isOperationError } from '../../../src/domain/operation-error.ts'
import type { Unlocker } from '../../../src/repository/key-slot.ts'
import { createRepository, openRepository } from '../../../src/repository/open-repository.ts'
import {
  createStore,
  formatRepositoryLocation,
  openStore,
  parseRepositoryLocation,
} from '../../../src/storage/open-store.ts'
import { giveTree } from '../../support/give-tree.ts'
import { testContext } from '../../support/repository.ts'
import type { Scratch } from '../../support/scratch.ts'
import type { FaultCase, FaultStage, FaultTurn } from '../fault-case.ts'
import { age } from '../read-back.ts'

/** P10. A repository that two keys open gets a new one, whose file is made, and loses the others. */
export const rekey: FaultCase = { name: 'rekey', isTraced: true, sampleSize: 4, stage }

function stage(scratch: Scratch): Promise<FaultStage> {
  let count = 0
  return Promise.resolve({
    turn: async () => makeTurn(await scratch.makeFolder(`turn-${(count += 1)}`), scratch),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  })
}

async function makeTurn(folder: string, scratch: Scratch): Promise<FaultTurn> {
  const location = parseRepositoryLocation(`posix:${join(folder, 'repository')}`)
  const configuration = join(folder, 'holdfast.yaml')
  const old = join(folder, 'old.key')
  await writeFile(old, 'o'.repeat(64), { mode: 0o600 })
  await writeFile(
    configuration,
    `repos:\n  local:\n    location: ${formatRepositoryLocation(location)}\n    key-file: ${old}\n`,
    { mode: 0o600 },
  )
  await using store = await createStore(location, { access: 'write' }, testContext())
  await createRepository(store, { unlocker: keyFile('o'.repeat(64)) }, testContext())
  await giveTree(folder, scratch.user)
  return new RekeyTurn(folder, { asUser: scratch.user, config: configuration })
}

const keyFile = (text: string): Unlocker => ({ kind: 'key-file', secret: Buffer.from(text) })

class RekeyTurn implements FaultTurn {
  readonly command: FaultTurn['command']
  readonly #folder: string
  readonly #next: string

  constructor(folder: string, options: FaultTurn['command']['options']) {
    this.#folder = folder
    this.#next = join(folder, 'keys', 'next.key')
    this.command = {
      args: ['repo', 'rekey', '--new-key-file', this.#next, '--confirm=local'],
      options,
      folder,
    }
  }

  async afterFault(): Promise<void> {
    const isOpened = (await this.#isOpenedByOld()) || (await this.#isOpenedByNext())
    assert.ok(isOpened, 'U1: no key opens the repository any more')
    await age(await this.#temporaries())
  }

  async afterSuccess(): Promise<void> {
    assert.ok(await this.#isOpenedByNext(), 'U1: the new key does not open the repository')
    assert.ok(!(await this.#isOpenedByOld()), 'the old key still opens the repository')
    assert.equal((await readdir(join(this.#folder, 'repository', 'keys'))).length, 1)
  }

  #isOpenedByOld(): Promise<boolean> {
    return this.#isOpenedBy(keyFile('o'.repeat(64)))
  }

  async #isOpenedByNext(): Promise<boolean> {
    const text = await readFile(this.#next, 'utf8').catch(() => undefined)
    return text !== undefined && this.#isOpenedBy(keyFile(text.trim()))
  }

  async #isOpenedBy(unlocker: Unlocker): Promise<boolean> {
    const location = parseRepositoryLocation(`posix:${join(this.#folder, 'repository')}`)
    await using store = await openStore(location, { access: 'write' }, testContext())
    try {
      await openRepository(store, { unlocker }, testContext())
      return true
    } catch (error) {
      assert.ok(isOperationError(error, 'key-wrong'), `U3: ${String(error)}`)
      return false
    }
  }

  async #temporaries(): Promise<readonly string[]> {
    const entries = await readdir(this.#folder, { recursive: true, withFileTypes: true })
    return entries
      .filter(({ name, parentPath }) => name.endsWith('.tmp') || parentPath.endsWith('/.tmp'))
      .filter((entry) => entry.isFile())
      .map(({ name, parentPath }) => join(parentPath, name))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.#folder, { recursive: true, force: true })
  }
}
