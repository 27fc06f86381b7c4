import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { changeStatements, settingsToChange } from './apply-settings.ts'
import type { SettingFinding } from './server-settings.ts'

describe('settingsToChange', () => {
  test("leaves what is right, what waits for a restart, and another tool's command", () => {
    const findings = [
      finding('ok'),
      finding('restart-due'),
      finding('foreign'),
      finding('missing'),
      finding('advised'),
    ]

    assert.deepEqual(
      settingsToChange(findings, { replacesForeign: false }).map(({ state }) => state),
      ['missing', 'advised'],
    )
    assert.deepEqual(
      settingsToChange(findings, { replacesForeign: true }).map(({ state }) => state),
      ['foreign', 'missing', 'advised'],
    )
  })
})

describe('changeStatements', () => {
  test('quotes what stands in a string constant', () => {
    assert.deepEqual(changeStatements([finding('missing', `it's`)]), [
      `ALTER SYSTEM SET archive_command = 'it''s'`,
    ])
    assert.deepEqual(changeStatements([finding('missing', String.raw`a\'b`)]), [
      String.raw`ALTER SYSTEM SET archive_command = E'a\\''b'`,
    ])
  })

  test('takes an archive_library away, which would win over the command', () => {
    assert.deepEqual(
      changeStatements([{ ...finding('foreign', 'x'), current: 'archive_library = basic_archive' }]),
      ['ALTER SYSTEM RESET archive_library', "ALTER SYSTEM SET archive_command = 'x'"],
    )
  })
})

function finding(state: SettingFinding['state'], wanted = 'holdfast'): SettingFinding {
  return { name: 'archive_command', current: '', wanted, state, needsRestart: false }
}
