import assert from 'node:assert/strict'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { readAzureSettings } from '../config/read-store-settings.ts'
import { azureOptions } from './azure-options.ts'

describe('azureOptions', () => {
  test('reads the key of the account, which nobody else may read', async () => {
    await using folder = await makeFolder()
    await writeFile(folder.file('key'), 'a2V5\n', { mode: 0o600 })
    await writeFile(folder.file('open'), 'a2V5\n', { mode: 0o644 })

    const { login } = await azureOptions(settings({ 'key-file': folder.file('key') }), {})

    assert.ok(login.kind === 'key')
    assert.equal(await login.read(), 'a2V5')
    await assert.rejects(azureOptions(settings({ 'key-file': folder.file('open') }), {}), /mode 0644/)
    await assert.rejects(azureOptions(settings({ 'sas-file': folder.file('none') }), {}), /no such file/)
  })

  test('takes what it is not told of a workload from the variables of Azure, and its token by a link', async () => {
    await using folder = await makeFolder()
    await writeFile(folder.file('..data'), 'first\n', { mode: 0o644 })
    await symlink(folder.file('..data'), folder.file('token'))
    const variables = {
      AZURE_CLIENT_ID: 'other-id',
      AZURE_TENANT_ID: 'some-tenant',
      AZURE_FEDERATED_TOKEN_FILE: folder.file('token'),
      AZURE_AUTHORITY_HOST: 'https://login.example/',
    }

    const written = settings({ auth: 'workload-identity', 'client-id': 'some-id' })
    const { login } = await azureOptions(written, variables)
    await writeFile(folder.file('..data'), 'second\n')

    assert.ok(login.kind === 'workload-identity')
    const { readAssertion, ...known } = login
    assert.deepEqual(known, {
      kind: 'workload-identity',
      clientId: 'some-id',
      tenantId: 'some-tenant',
      authority: 'https://login.example',
    })
    assert.equal(await readAssertion(), 'second')
    const insecure = { ...variables, AZURE_AUTHORITY_HOST: 'http://login.example' }
    await assert.rejects(azureOptions(written, insecure), /expected https:\/\/host in AZURE_AUTHORITY_HOST/)
  })

  test('says what it was not told of a workload', async () => {
    await assert.rejects(
      azureOptions(settings({ auth: 'workload-identity', 'token-file': '/t' }), {}),
      /expected azure\.client-id for auth: workload-identity, found neither it nor its variable/,
    )
  })
})

const settings = (written: Readonly<Record<string, string>>): ReturnType<typeof readAzureSettings> =>
  readAzureSettings({ account: 'acme', ...written })

async function makeFolder(): Promise<AsyncDisposable & { file(name: string): string }> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-azure-'))
  return {
    file: (name) => join(folder, name),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  }
}
