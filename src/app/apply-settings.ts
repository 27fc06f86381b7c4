import type { RunContext } from '../domain/run-context.ts'
import type { PostgresSession } from '../postgres/connection.ts'
import type { SettingFinding } from './server-settings.ts'

/** The findings that a change would cure. Somebody else's archive_command only when that was asked for. */
export function settingsToChange(
  findings: readonly SettingFinding[],
  { replacesForeign }: { readonly replacesForeign: boolean },
): readonly SettingFinding[] {
  return findings.filter(
    ({ state }) => state === 'missing' || state === 'advised' || (state === 'foreign' && replacesForeign),
  )
}

/** The statements that change the settings, for `--apply` and for people. An archive_library would win over our command. */
export function changeStatements(changes: readonly SettingFinding[]): readonly string[] {
  return changes.flatMap(({ name, wanted, current }) => [
    ...(current.startsWith('archive_library = ') ? ['ALTER SYSTEM RESET archive_library'] : []),
    `ALTER SYSTEM SET ${name} = ${quoteLiteral(wanted)}`,
  ])
}

/** Runs the statements and has the server load what they changed. Returns when it did. */
export async function applyStatements(
  session: PostgresSession,
  statements: readonly string[],
  context: RunContext,
): Promise<void> {
  for (const statement of statements) {
    await session.query(statement, [], {
      doing: `running "${statement.slice(0, 60)}"`,
      grant: 'ALTER SYSTEM',
    })
  }
  const loadedBefore = await readLoadTime(session)
  await session.query('select pg_catalog.pg_reload_conf()', [], {
    doing: 'reloading the configuration of the server',
    grant: 'EXECUTE ON FUNCTION pg_catalog.pg_reload_conf()',
  })
  for (let look = 0; look < mostLooks; look += 1) {
    if ((await readLoadTime(session)) !== loadedBefore) return
    await context.clock.sleep(pauseMs, context.signal)
  }
}

const pauseMs = 100
/** A server that is busy elsewhere reloads later; what is reported then is what it has now. */
const mostLooks = 50

async function readLoadTime(session: PostgresSession): Promise<string | undefined> {
  const [row] = await session.query<{ at: string }>('select pg_catalog.pg_conf_load_time() as at')
  return row?.at
}

/** A string constant that means the same whatever standard_conforming_strings says. */
function quoteLiteral(text: string): string {
  const escaped = text.replaceAll("'", "''").replaceAll('\\', '\\\\')
  return text.includes('\\') ? `E'${escaped}'` : `'${escaped}'`
}
