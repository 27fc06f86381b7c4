import assert from 'node:assert/strict'
import { copyFile, mkdir, readFile, readdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { isOperationError, type OperationErrorCode } from '../../domain/operation-error.ts'
import { giveTree } from '../../../test/support/give-tree.ts'
import { testContext } from '../../../test/support/repository.ts'
import { createScratch, type Scratch } from '../../../test/support/scratch.ts'
import { startSftpServer, type SftpServer } from '../../../test/support/sftp-server.ts'
import { collect } from '../../../test/support/store-contract.ts'
import type { ObjectStore } from '../object-store.ts'
import type { SftpLocation, SftpStoreOptions } from './sftp-options.ts'
import { createSftpStore, openSftpStore } from './sftp-store.ts'

const bytes = new Uint8Array([1, 2, 3])

describe('an SFTP store', () => {
  let scratch: Scratch
  let server: SftpServer
  let places = 0
  before(async () => {
    scratch = await createScratch('sftp-troubles')
    server = await startSftpServer(scratch)
  })
  after(async () => scratch[Symbol.asyncDispose]())

  /** A store with one object. */
  async function makeStore(): Promise<{ store: ObjectStore; place: SftpLocation } & AsyncDisposable> {
    places += 1
    const place = server.locationOf(`store-${places}`)
    const store = await createSftpStore(place, server.options, testContext())
    await store.putIfAbsent('a/b/object', bytes)
    return { store, place, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
  }

  const open = (place: SftpLocation, options: Partial<SftpStoreOptions> = {}): Promise<ObjectStore> =>
    openSftpStore(place, { ...server.options, ...options }, { ...testContext(), policy: { maxAttempts: 1 } })

  /** The line of known_hosts for this host. */
  const known = (host: string): string => `${host} ${server.hostKey.line}\n`

  test('is found again', async () => {
    await using made = await makeStore()

    await using store = await open(made.place)

    assert.deepEqual(await store.get('a/b/object'), bytes)
    assert.equal(store.location, `sftp:${server.user}@127.0.0.1:${server.port}${made.place.path}`)
  })

  test('is a posix store on the server', async () => {
    await using made = await makeStore()

    assert.deepEqual((await readdir(made.place.path)).toSorted(), ['.holdfast-store', '.tmp', 'a'])
    assert.deepEqual(await readdir(join(made.place.path, '.tmp')), [])
  })

  test('is created once by two at the same time, and not over what is there', async () => {
    const place = server.locationOf('twice/created')
    const create = () => createSftpStore(place, server.options, testContext())
    await using stores = new AsyncDisposableStack()
    const [first, second] = await Promise.all([create(), create()])
    stores.use(first)
    stores.use(second)
    await first.putIfAbsent('k', bytes)
    assert.deepEqual(await second.get('k'), bytes)

    await writeFile(join(place.path, '..', 'foreign'), '')
    await assert.rejects(
      createSftpStore({ ...place, path: join(place.path, '..') }, server.options, testContext()),
      hasCode('repository-foreign', /expected an empty directory, found "(created|foreign)"/),
    )
  })

  test('is unreachable when its marker is gone, and calls nothing absent then', async () => {
    await using made = await makeStore()
    await rename(made.place.path, `${made.place.path}-away`)
    await mkdir(made.place.path)
    await giveTree(made.place.path, scratch.user)

    for (const call of [
      () => made.store.get('absent'),
      () => made.store.head('absent'),
      () => made.store.putIfAbsent('new', bytes),
      () => made.store.delete(['absent']),
      () => collect(made.store.list('')),
      () => open(made.place),
    ]) {
      await assert.rejects(call(), hasCode('store-unreachable', /expected a directory with the file/))
    }
    assert.deepEqual(await readdir(made.place.path), [])
  })

  test('refuses a layout that it does not know', async () => {
    await using made = await makeStore()
    await writeFile(join(made.place.path, '.holdfast-store'), 'holdfast object store, layout 2\n')

    await assert.rejects(open(made.place), hasCode('format-newer', /found "holdfast object store, layout 2"/))
  })

  test('follows no link inside the root, neither to a folder nor to a file', async () => {
    await using made = await makeStore()
    const { store, place } = made
    const outside = join(place.path, '..', 'outside')
    await mkdir(outside, { recursive: true })
    await writeFile(join(outside, 'secret'), 'secret')
    await symlink(outside, join(place.path, 'link'))
    await symlink(join(outside, 'secret'), join(place.path, 'a', 'file'))

    for (const key of ['link/secret', 'link', 'a/file']) {
      await assert.rejects(store.get(key), hasCode('path-unsafe'))
      await assert.rejects(store.head(key), hasCode('path-unsafe'))
      await assert.rejects(store.putIfAbsent(key, bytes), hasCode('path-unsafe'))
    }
    await assert.rejects(store.putIfAbsent('link/new/one', bytes), hasCode('path-unsafe'))
    await assert.rejects(store.delete(['link/secret']), hasCode('path-unsafe'))
    await assert.rejects(collect(store.list('')), hasCode('path-unsafe'))
    await assert.rejects(collect(store.list('link/')), hasCode('path-unsafe'))
    assert.deepEqual(await readdir(outside), ['secret'])
  })

  test('removes temporary files that are older than a day, and nothing else', async () => {
    await using made = await makeStore()
    const folder = join(made.place.path, '.tmp')
    const old = new Date(Date.now() - 25 * 3_600_000)
    for (const name of ['0'.repeat(32), '1'.repeat(32), 'notes']) await writeFile(join(folder, name), '')
    for (const name of ['0'.repeat(32), 'notes']) await utimes(join(folder, name), old, old)

    await using _ = await open(made.place)

    assert.deepEqual((await readdir(folder)).toSorted(), ['1'.repeat(32), 'notes'])
  })

  test('says what is wrong when it may not write, and leaves nothing', async () => {
    await using made = await makeStore()
    await rm(join(made.place.path, '.tmp'), { recursive: true })

    await assert.rejects(
      made.store.putIfAbsent('new', bytes),
      hasCode('store-failed', /expected its folder ".tmp"/),
    )
  })

  test('says in a warning that durability is unknown where it is', async () => {
    const plain = await startSftpServer(scratch, { name: 'plain', without: ['fsync'] })
    const context = testContext()
    const silent = testContext()
    await using stores = new AsyncDisposableStack()
    stores.use(await createSftpStore(plain.locationOf('warned'), plain.options, context))
    stores.use(await createSftpStore(server.locationOf('silent'), server.options, silent))

    assert.deepEqual(
      context.events.map((event) => event.kind === 'warning' && /durability .* unknown/.test(event.message)),
      [true],
    )
    assert.deepEqual(silent.events, [])
  })

  describe('trusts', () => {
    const another = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtQFQ0zNnQ7dW1mYXJhd2F5aG9zdGtleWZvcnRlc3RzISE='

    test('a server whose key is pinned or in the known hosts', async () => {
      await using made = await makeStore()
      for (const trust of [
        { fingerprint: server.hostKey.fingerprint },
        { knownHosts: known(`[127.0.0.1]:${server.port}`) },
        { knownHosts: `# a comment\n\n${known('other.example')}${known(`*:${server.port},!x`)}` },
      ]) {
        await using store = await open(made.place, { trust })
        assert.deepEqual(await store.get('a/b/object'), bytes)
      }
    })

    for (const [name, trust, expected] of [
      [
        'no server without a key to expect',
        () => ({}),
        /none configured; the server shows SHA256:\S{43} \(ssh-ed25519\)/,
      ],
      [
        'no server that is not in the known hosts',
        () => ({ knownHosts: known('other') }),
        /expected "127.0.0.1" in the known hosts/,
      ],
      [
        'no server whose key has changed',
        () => ({ fingerprint: `SHA256:${'A'.repeat(43)}` }),
        /THE KEY OF THE SERVER HAS CHANGED/,
      ],
      [
        'no server with another key than the known hosts have',
        () => ({ knownHosts: `[127.0.0.1]:${server.port} ${another}` }),
        /THE KEY OF THE SERVER HAS CHANGED/,
      ],
      [
        'no key that is revoked',
        () => ({ knownHosts: known(`[127.0.0.1]:${server.port}`) + known('@revoked *') }),
        /marked as revoked/,
      ],
    ] as const) {
      test(name, async () => {
        await using made = await makeStore()

        await assert.rejects(open(made.place, { trust: trust() }), (error) => {
          assert.ok(isOperationError(error))
          assert.match(error.message, expected)
          assert.ok(error.message.includes(server.hostKey.fingerprint))
          return true
        })
      })
    }
  })

  describe('tells a login that fails from other troubles: it', () => {
    for (const [name, options, expected] of [
      [
        'knows a password that is not taken',
        { login: { kind: 'password', read: async () => 'canary' } },
        /does not take the password for the user/,
      ],
      [
        'knows an agent that is not there',
        { login: { kind: 'agent', socketPath: '/nowhere' } },
        /does not take the keys of the agent/,
      ],
      ['knows a private key that is none', loginWith('canary'), /the private key cannot be read/],
    ] as const) {
      test(name, async () => {
        await using made = await makeStore()

        await assert.rejects(open(made.place, options), (error) => {
          assert.ok(isOperationError(error))
          assert.match(error.message, expected)
          assert.doesNotMatch(`${error.message} ${error.hint} ${String(error.cause)}`, /canary/)
          return true
        })
      })
    }

    test('knows a public key', async () => {
      await using made = await makeStore()
      const { line } = server.hostKey

      await assert.rejects(
        open(made.place, loginWith(line)),
        hasCode('config-invalid', /private key cannot be read/),
      )
    })

    test('takes a private key with its passphrase, and tells a locked one', async () => {
      await using made = await makeStore()
      const file = join(scratch.folder, 'locked')
      await copyFile(server.privateKeyFile, file)
      server.run('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'canary', '-f', file])
      const locked = await readFile(file, 'utf8')

      await using store = await open(made.place, loginWith(locked.trimEnd(), 'canary'))

      assert.deepEqual(await store.get('a/b/object'), bytes)
      for (const [passphrase, expected] of [
        [undefined, /the private key is locked, and there is no passphrase for it/],
        ['another', /the private key is locked, and the passphrase is not the one of it/],
      ] as const) {
        await assert.rejects(
          open(made.place, loginWith(locked, passphrase)),
          hasCode('config-invalid', expected),
        )
      }
    })

    test('takes the keys of an agent', async () => {
      await using made = await makeStore()
      const socketPath = join(scratch.folder, 'agent')
      server.run('ssh-agent', ['-a', socketPath])
      server.run('ssh-add', ['-q', server.privateKeyFile], { SSH_AUTH_SOCK: socketPath })

      await using store = await open(made.place, { login: { kind: 'agent', socketPath } })

      assert.deepEqual(await store.get('a/b/object'), bytes)
    })

    test('knows that nothing listens', async () => {
      const place = { ...server.locationOf('store-1'), port: 1 }

      await assert.rejects(open(place), hasCode('store-unreachable', /nothing listens on port 1/))
    })
  })
})

function loginWith(content: string, passphrase?: string): Partial<SftpStoreOptions> {
  return { login: { kind: 'private-key', read: async () => ({ content: Buffer.from(content), passphrase }) } }
}

function hasCode(code: OperationErrorCode, message = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isOperationError(error), String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, message)
    return true
  }
}
