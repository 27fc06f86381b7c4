import assert from 'node:assert/strict'
import type { Random } from '../support/seeded-random.ts'
import type { Major } from '../support/server-binaries.ts'

/** Index methods that come with PostgreSQL; bloom writes its WAL as extensions do, by generic records. */
export const indexMethods = ['btree', 'hash', 'gin', 'gist', 'spgist', 'brin', 'bloom'] as const
export type IndexMethod = (typeof indexMethods)[number]

const indexedColumns: Readonly<Record<IndexMethod, string>> = {
  btree: '(id)',
  hash: '(region)',
  gin: '(tags)',
  gist: '(place)',
  spgist: '(place)',
  brin: '(id) with (pages_per_range = 4)',
  bloom: '(region)',
}

/** In the database `postgres`. */
export interface Table {
  readonly name: string
  isLogged: boolean
  space: string
}

export interface Database {
  readonly name: string
  /** Undefined before 15, where it cannot be chosen. */
  readonly oid: number | undefined
  /** It came again under the OID of a dropped one. */
  readonly recreated: boolean
  space: string
}

/** A statement for the database `postgres`, or for another. */
export type Statement = string | { readonly database: string; readonly sql: string }

interface Place {
  readonly major: Major
  readonly random: Random
  /** Gives an empty folder of the server's user. */
  readonly makeFolder: (name: string) => Promise<string>
}

/** What a random history has made so far. All its decisions come from the random source, none from the server. */
export class World {
  readonly major: Major
  readonly random: Random
  readonly makeFolder: Place['makeFolder']
  readonly tables: Table[] = []
  readonly databases: Database[] = []
  readonly spaces: string[] = []
  /** Transactions that are prepared and not yet ended. */
  readonly prepared: string[] = []
  #count = 0
  #lastOid = 70_000

  constructor({ major, random, makeFolder }: Place) {
    this.major = major
    this.random = random
    this.makeFolder = makeFolder
  }

  name(kind: string): string {
    this.#count += 1
    return `${kind}_${this.#count}`
  }

  newOid(): number | undefined {
    this.#lastOid += 1
    return this.major < 15 ? undefined : this.#lastOid
  }

  pick<T>(list: readonly T[]): T {
    assert.ok(list.length > 0)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the index is within the list
    return list[this.random(list.length)] as T
  }

  /** In another order. */
  shuffle<T>(list: readonly T[]): T[] {
    const rest = [...list]
    const shuffled: T[] = []
    while (rest.length > 0) shuffled.push(...rest.splice(this.random(rest.length), 1))
    return shuffled
  }

  chance(oneIn: number): boolean {
    return this.random(oneIn) === 0
  }

  table(): Table {
    return this.pick(this.tables)
  }

  /** The statements that make a filled table; it is in the world from now on. */
  createTable(space = 'pg_default'): Statement[] {
    const table = { name: this.name('t'), isLogged: !this.chance(6), space }
    this.tables.push(table)
    return [
      `create ${table.isLogged ? '' : 'unlogged '}table ${table.name} ${columns}
         with (fillfactor = ${60 + this.random(41)}) tablespace ${space}`,
      this.insert(table.name, 500 + this.random(2500)),
    ]
  }

  /** Appends rows, some of them long. */
  insert(table: string, count: number): string {
    const from = this.random(100_000)
    const repeats = this.pick([1, 4, 8])
    return `insert into ${table} ${rows(from, from + count, repeats)}`
  }

  createIndex(table: string, method: IndexMethod): Statement[] {
    const name = `${table}_${method}`
    const concurrently = this.chance(4) ? 'concurrently' : ''
    return [
      `drop index if exists ${name}`,
      `create index ${concurrently} ${name} on ${table} using ${method} ${indexedColumns[method]}`,
    ]
  }
}

export const columns = '(id int, filling text, region int, tags int[], place point, wide bigint)'

export const rows = (from: number, to: number, repeats: number): string =>
  `select i as id, repeat(md5(i::text), ${repeats}) as filling, i % 17 as region,
          array[i % 5, i % 7 + 10] as tags, point(i % 100, i / 100) as place, i as wide
     from generate_series(${from}, ${to}) i`

/** Given as it is, no more and no less, to be named in what is dealt out. */
export interface Action {
  readonly name: string
  /** Decides by the world's random source and tells what is to be executed, one after the other. */
  readonly plan: (world: World) => readonly Statement[] | Promise<readonly Statement[]>
}
