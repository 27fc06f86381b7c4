import { setTimeout as sleep } from 'node:timers/promises'
import type { TestServer } from '../support/postgres-server.ts'
import type { Session } from '../support/server-session.ts'
import { waitUntil } from '../support/wait.ts'

/** Gives an empty directory for a tablespace. */
export type MakeSpace = (name: string) => Promise<string>

/** What a turn leaves is taken away so many turns later. */
const lifetime = 2

/**
 * Statements, one after the other in one session, that create, extend, truncate, rewrite, move and drop relations,
 * databases and tablespaces. It works on the database `postgres`, between `start` and `stop`, until it is paused.
 */
export class Upheaval implements AsyncDisposable {
  turnsDone = 0
  readonly #server: TestServer
  readonly #makeSpace: MakeSpace
  #isStopping = false
  #isPaused = false
  #isInStatement = false
  #work: Promise<void> = Promise.resolve()
  #failure: unknown

  constructor(server: TestServer, makeSpace: MakeSpace) {
    this.#server = server
    this.#makeSpace = makeSpace
  }

  /** What exists before and is changed. */
  async prepare(): Promise<void> {
    await using session = await this.#server.session()
    const space = await this.#makeSpace('side')
    for (const statement of [
      `create tablespace side location '${space}'`,
      ...['grows', 'shrinks', 'is_cut', 'is_rewritten', 'moves', 'flips'].flatMap(createFilled),
      'create database pattern',
      'create sequence steps',
    ])
      await session.query(statement)
    await using inPattern = await this.#server.session('pattern')
    for (const statement of createFilled('patterned')) await inPattern.query(statement)
  }

  start(): void {
    this.#work = this.#run().catch((error: unknown) => {
      this.#failure = error
    })
  }

  /** Resolves when so many more turns are done. */
  async advance(turns: number): Promise<void> {
    const goal = this.turnsDone + turns
    const isThere = (): boolean => this.#failure !== undefined || this.turnsDone >= goal
    await waitUntil(`${turns} more turns`, isThere, { timeoutMs: 120_000 })
    this.#throwFailure()
  }

  /** Does something while no statement is under way. */
  async whilePaused<T>(act: () => Promise<T>): Promise<T> {
    this.#isPaused = true
    const isQuiet = (): boolean => this.#failure !== undefined || !this.#isInStatement
    await waitUntil('the statement under way to end', isQuiet, { intervalMs: 2 })
    this.#throwFailure()
    try {
      return await act()
    } finally {
      this.#isPaused = false
    }
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#work
    this.#throwFailure()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true
    await this.#work
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw new Error('a statement failed', { cause: this.#failure })
  }

  async #run(): Promise<void> {
    await using session = await this.#server.session()
    await session.query('create temporary table fleeting as select generate_series(1, 2000) as id')
    while (!this.#isStopping) {
      for (const statement of await this.#turn(this.turnsDone)) await this.#execute(session, statement)
      this.turnsDone += 1
    }
  }

  async #execute(session: Session, statement: string): Promise<void> {
    while (this.#isPaused && !this.#isStopping) await sleep(2)
    if (this.#isStopping) return
    this.#isInStatement = true
    try {
      await session.query(statement)
    } catch (cause) {
      throw new Error(statement, { cause })
    } finally {
      this.#isInStatement = false
    }
  }

  async #turn(turn: number): Promise<readonly string[]> {
    return [
      ...createFilled(`comer_${turn}`),
      ...takeAway(turn, (old) => `drop table comer_${old}`),
      'insert into grows select id, repeat(md5(id::text), 6) from generate_series(1, 2000) id',
      'delete from shrinks where id > 500',
      'vacuum shrinks',
      'insert into shrinks select id, repeat(md5(id::text), 6) from generate_series(501, 2500) id',
      'truncate is_cut',
      'insert into is_cut select id, repeat(md5(id::text), 6) from generate_series(1, 1500) id',
      turn % 2 === 0 ? 'vacuum full is_rewritten' : 'cluster is_rewritten using is_rewritten_id',
      'update is_rewritten set filling = reverse(filling) where id % 3 = 0',
      'reindex table concurrently is_rewritten',
      `alter table moves set tablespace ${turn % 2 === 0 ? 'side' : 'pg_default'}`,
      `update moves set filling = 'of turn ${turn}' where id % 7 = ${turn % 7}`,
      `alter table flips set ${turn % 2 === 0 ? 'unlogged' : 'logged'}`,
      'insert into fleeting select generate_series(1, 500)',
      "select nextval('steps')",
      ...(turn % 3 === 0 ? ['vacuum full pg_class', 'vacuum full pg_database'] : []),
      ...this.#databases(turn),
      ...(await this.#spaces(turn)),
    ]
  }

  /** A backup that is stopped while it reads the names in a database would keep it from being dropped. */
  #databases(turn: number): readonly string[] {
    const strategy = this.#server.major < 15 ? '' : ` strategy ${turn % 2 === 0 ? 'file_copy' : 'wal_log'}`
    return [
      `create database comer_${turn} template pattern${strategy}`,
      ...takeAway(turn, (old) => `drop database comer_${old} with (force)`),
    ]
  }

  async #spaces(turn: number): Promise<readonly string[]> {
    const space = await this.#makeSpace(`comer_${turn}`)
    return [
      `create tablespace comer_${turn} location '${space}'`,
      `create table distant_${turn} tablespace comer_${turn} as select * from grows limit 1000`,
      ...takeAway(turn, (old) => `drop table distant_${old}`),
      ...takeAway(turn, (old) => `drop tablespace comer_${old}`),
    ]
  }
}

function createFilled(name: string): readonly string[] {
  return [
    `create table ${name} (id int, filling text); create index ${name}_id on ${name} (id)`,
    `insert into ${name} select id, repeat(md5(id::text), 6) from generate_series(1, 2000) id`,
  ]
}

function takeAway(turn: number, drop: (old: number) => string): readonly string[] {
  return turn < lifetime ? [] : [drop(turn - lifetime)]
}
