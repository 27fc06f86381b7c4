import { setTimeout as sleep } from 'node:timers/promises'
import type { TestServer } from '../support/postgres-server.ts'
import { columns, rows } from './world.ts'

/** The processors are for the backup. */
const pauseMs = 40

/** Changes a table of its own, again and again, and makes and drops others, as long as something else is done. */
export async function underLoad<T>(server: TestServer, act: () => Promise<T>): Promise<T> {
  const stopping = new AbortController()
  await using session = await server.session()
  await session.query(`create table if not exists busy ${columns}`)
  await session.query('create index if not exists busy_id on busy (id)')
  await session.query('create index if not exists busy_tags on busy using gin (tags)')
  const load = async (): Promise<void> => {
    for (let turn = 0; !stopping.signal.aborted; turn += 1) {
      for (const statement of statementsOf(turn)) await session.query(statement)
      await sleep(pauseMs)
    }
  }
  const [result] = await Promise.all([stopAfterwards(act, stopping), load()])
  return result
}

async function stopAfterwards<T>(act: () => Promise<T>, stopping: AbortController): Promise<T> {
  try {
    return await act()
  } finally {
    stopping.abort()
  }
}

function statementsOf(turn: number): readonly string[] {
  return [
    `insert into busy ${rows(turn * 100, turn * 100 + 200, 2)}`,
    `update busy set filling = md5(random()::text), tags = tags || 1 where id % 13 = ${turn % 13}`,
    ...(turn % 5 === 1 ? [`delete from busy where ctid >= '(${turn % 40},0)'`, 'vacuum busy'] : []),
    ...(turn % 7 === 2
      ? [`create table passing as ${rows(1, 300, 1)}`, 'create index on passing (id)', 'drop table passing']
      : []),
    ...(turn % 11 === 3 ? ['begin; truncate busy; rollback', 'vacuum (freeze) busy'] : []),
  ]
}
