import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { judgeSettings, type ServerSettings } from './server-settings.ts'

const ours = 'if [ "pg_wal/holdfast-ack/%f" -nt "%p" ]; then exit 0; fi; holdfast archive-push --ahead "%p"'

describe('judgeSettings', () => {
  test('finds nothing to change in a server that is set up', () => {
    assert.deepEqual(Object.values(states({})), ['ok', 'ok', 'ok', 'ok', 'ok'])
  })

  test('takes logical WAL and archiving also on standbys for enough', () => {
    const found = states({ wal_level: 'logical', archive_mode: 'always' })

    assert.deepEqual([found['wal_level'], found['archive_mode']], ['ok', 'ok'])
  })

  test('tells what is missing from what waits for a restart', () => {
    assert.equal(states({ archive_mode: 'off' })['archive_mode'], 'missing')
    assert.equal(
      states({ archive_mode: 'off' }, { pending: ['archive_mode'] })['archive_mode'],
      'restart-due',
    )
  })

  test('advises an archive_timeout and leaves one that is set alone (R30)', () => {
    assert.equal(states({ archive_timeout: '0' })['archive_timeout'], 'advised')
    assert.equal(states({ archive_timeout: '5' })['archive_timeout'], 'ok')
  })

  for (const placeholder of ['', '(disabled)', 'true', '/bin/true', 'false', ' exit 0 ']) {
    test(`takes the archive_command "${placeholder}" for nobody's`, () => {
      assert.equal(states({ archive_command: placeholder })['archive_command'], 'missing')
    })
  }

  test('takes an older one of ours for ours to change', () => {
    const older = ours.replace('holdfast archive-push', '/old/holdfast archive-push')

    assert.equal(states({ archive_command: older })['archive_command'], 'missing')
  })

  test("takes another tool's command or library for foreign", () => {
    const command = 'pgbackrest --stanza=main archive-push %p'

    assert.equal(states({ archive_command: command })['archive_command'], 'foreign')
    assert.equal(states({ archive_library: 'basic_archive' })['archive_command'], 'foreign')
  })
})

function states(
  changes: Readonly<Record<string, string>>,
  { pending = [] }: { readonly pending?: readonly string[] } = {},
): Readonly<Record<string, string>> {
  const values = {
    wal_level: 'replica',
    archive_mode: 'on',
    archive_command: ours,
    archive_library: '',
    archive_timeout: '60',
    full_page_writes: 'on',
    ...changes,
  }
  const settings: ServerSettings = new Map(
    (
      [
        'wal_level',
        'archive_mode',
        'archive_command',
        'archive_library',
        'archive_timeout',
        'full_page_writes',
      ] as const
    ).map((name) => [
      name,
      { setting: values[name], configured: values[name], pending: pending.includes(name) ? 't' : 'f' },
    ]),
  )
  return Object.fromEntries(judgeSettings(settings, ours).map(({ name, state }) => [name, state]))
}
