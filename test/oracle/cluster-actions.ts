import {
  columns,
  indexMethods,
  rows,
  type Action,
  type Database,
  type Statement,
  type World,
} from './world.ts'

/** What is done to databases, tablespaces, and whatever is no table. */
export const clusterActions: readonly Action[] = [
  { name: 'create database', plan: (world) => createDatabase(world, world.newOid()) },
  { name: 'create another database', plan: (world) => createDatabase(world, world.newOid()) },
  { name: 'change database', plan: changeDatabase },
  { name: 'recreate database', plan: recreateDatabase },
  { name: 'drop database', plan: dropDatabase },
  { name: 'move database', plan: moveDatabase },
  { name: 'create tablespace', plan: createSpace },
  { name: 'move table', plan: moveTable },
  { name: 'drop tablespace', plan: dropSpace },
  { name: 'large objects', plan: changeLargeObjects },
  { name: 'sequences', plan: moveSequences },
  { name: 'rewrite catalogs', plan: rewriteCatalogs },
  { name: 'switch segment', plan: () => ['select pg_switch_wal()'] },
  { name: 'checkpoint', plan: () => ['checkpoint'] },
  { name: 'vacuum all', plan: (world) => [world.pick(['vacuum', 'vacuum (freeze)', 'vacuum (analyze)'])] },
  { name: 'long record', plan: writeLongRecord },
  { name: 'WAL settings', plan: changeSettings },
]

/** Has an index of each method. */
const indexedTable = 'indexed'

/** What there is in the beginning: something for each action to work on. */
export async function prepareWorld(world: World): Promise<readonly Statement[]> {
  const tables = Array.from({ length: 4 }, () => world.createTable()).flat()
  return [
    'create extension bloom',
    'create sequence steps',
    'create sequence strides cache 10',
    'select lo_from_bytea(i, convert_to(repeat(md5(i::text), i), $$utf8$$)) from generate_series(1, 60) i',
    ...tables,
    `create table ${indexedTable} ${columns}`,
    world.insert(indexedTable, 1500),
    ...indexMethods.flatMap((method) => world.createIndex(indexedTable, method)),
    'create database pattern',
    { database: 'pattern', sql: `create table patterned ${columns}` },
    { database: 'pattern', sql: `insert into patterned ${rows(1, 1500, 4)}` },
    { database: 'pattern', sql: 'create index on patterned (id)' },
    ...(await createSpace(world)),
    ...createDatabase(world, world.newOid()),
  ]
}

/** Changes every index of a table that stays. */
export function changeIndexed(world: World): readonly Statement[] {
  return [
    world.insert(indexedTable, 300),
    `update ${indexedTable} set place = place + point(1, 1), region = region + 1 where id % 7 = ${world.random(7)}`,
    `delete from ${indexedTable} where id % 11 = ${world.random(11)}`,
    ...(world.chance(2) ? [`vacuum ${indexedTable}`] : []),
  ]
}

/** Ends what a step left prepared: it was so during the backup. */
export function endPrepared(world: World): readonly Statement[] {
  return world.prepared
    .splice(0)
    .map((name) => `${world.chance(3) ? 'rollback' : 'commit'} prepared '${name}'`)
}

/** A transaction that creates a table and drops another, which is neither committed nor aborted for now. */
export function prepareTransaction(world: World): readonly Statement[] {
  const name = world.name('prepared')
  world.prepared.push(name)
  return [
    `create table ${name}_old ${columns}`,
    world.insert(`${name}_old`, 900),
    `begin; create table ${name}_new ${columns}; ${world.insert(`${name}_new`, 900)};
     drop table ${name}_old; prepare transaction '${name}'`,
  ]
}

function createDatabase(world: World, oid: number | undefined, recreated = false): Statement[] {
  const database: Database = { name: world.name('db'), oid, recreated, space: 'pg_default' }
  world.databases.push(database)
  const options = [
    `template ${world.pick(['pattern', 'pattern', 'template1'])}`,
    ...(world.major < 15 ? [] : [`strategy ${world.pick(['file_copy', 'wal_log'])}`]),
    ...(oid === undefined ? [] : [`oid ${oid}`]),
  ]
  return [
    `create database ${database.name} ${options.join(' ')}`,
    ...(world.chance(2) ? fillDatabase(world, database) : []),
  ]
}

function fillDatabase(world: World, { name: database }: Database): Statement[] {
  const table = world.name('inner')
  return [
    { database, sql: `create table ${table} ${columns}` },
    { database, sql: world.insert(table, world.random(2000)) },
    { database, sql: `create index on ${table} (id)` },
  ]
}

function changeDatabase(world: World): Statement[] {
  const database = world.pick(world.databases)
  return [
    ...fillDatabase(world, database),
    { database: 'pattern', sql: 'update patterned set filling = reverse(filling) where id % 5 = 0' },
    ...(world.chance(2) ? [{ database: 'pattern', sql: 'vacuum full patterned' }] : []),
  ]
}

/** The same path, the same sizes, and pages older than any backup (M16). */
function recreateDatabase(world: World): Statement[] {
  const old = takeDroppable(world)
  if (old === undefined) return []
  return [`drop database ${old.name}`, ...createDatabase(world, old.oid, true)]
}

function dropDatabase(world: World): Statement[] {
  const old = takeDroppable(world)
  const replacement = createDatabase(world, world.newOid())
  return old === undefined ? replacement : [...replacement, `drop database ${old.name}`]
}

/**
 * Not one that came again under its OID: servers from 15 on fail or panic in pgstat_shmem.c ("trying to drop stats entry already
 * dropped") when that is dropped while a session still refers to the statistics of the first.
 */
function takeDroppable(world: World): Database | undefined {
  const droppable = world.databases.filter(({ recreated }) => world.major < 15 || !recreated)
  if (droppable.length === 0) return undefined
  const old = world.pick(droppable)
  world.databases.splice(world.databases.indexOf(old), 1)
  return old
}

/** There and back: its files come again under names that they had. */
function moveDatabase(world: World): Statement[] {
  const database = world.pick(world.databases)
  const { name, space } = database
  const other = world.pick(['pg_default', ...world.spaces].filter((candidate) => candidate !== space))
  const move = (to: string): string => `alter database ${name} set tablespace ${to}`
  if (world.chance(2)) return [move(other), move(space)]
  database.space = other
  return [move(other)]
}

async function createSpace(world: World): Promise<Statement[]> {
  const name = world.name('space')
  world.spaces.push(name)
  const folder = await world.makeFolder(name)
  return [`create tablespace ${name} location '${folder}'`, ...world.createTable(name)]
}

function moveTable(world: World): Statement[] {
  const table = world.table()
  table.space = world.pick(['pg_default', ...world.spaces].filter((space) => space !== table.space))
  return [`alter table ${table.name} set tablespace ${table.space}`, world.insert(table.name, 100)]
}

async function dropSpace(world: World): Promise<Statement[]> {
  const replacement = await createSpace(world)
  const empty = world.spaces.filter((space) => !world.databases.some((database) => database.space === space))
  const space = world.pick(empty)
  world.spaces.splice(world.spaces.indexOf(space), 1)
  for (const table of world.tables) if (table.space === space) table.space = 'pg_default'
  return [
    ...replacement,
    `alter table all in tablespace ${space} set tablespace pg_default`,
    `drop tablespace ${space}`,
  ]
}

function changeLargeObjects(world: World): Statement[] {
  const objects = 'pg_largeobject_metadata where oid::bigint'
  return [
    "select lo_from_bytea(0, convert_to(repeat(md5(i::text), 200), 'utf8')) from generate_series(1, 20) i",
    `select lo_put(oid, 100, 'changed') from ${objects} % 3 = 0`,
    `select lo_unlink(oid) from ${objects} % 7 = ${world.random(7)}`,
    ...(world.chance(2) ? ['vacuum pg_largeobject'] : []),
  ]
}

function moveSequences(world: World): Statement[] {
  return [
    `select nextval('steps') from generate_series(1, ${1 + world.random(100)})`,
    `select setval('strides', ${1 + world.random(1000)})`,
    ...(world.chance(3) ? ['alter sequence steps increment 2'] : []),
  ]
}

/** Catalogs that are mapped: what files they are in says pg_filenode.map. */
function rewriteCatalogs(world: World): Statement[] {
  return world
    .shuffle([
      'vacuum full pg_class',
      'reindex table pg_class',
      'vacuum full pg_database',
      'vacuum full pg_attribute',
    ])
    .slice(0, 2)
}

function writeLongRecord(world: World): Statement[] {
  const bytes = world.pick([9_000, 300_000, 3_000_000])
  return [`select pg_logical_emit_message(false, 'long', repeat('x', ${bytes}))`]
}

function changeSettings(world: World): Statement[] {
  return [
    `alter system set wal_compression = ${world.pick(['off', 'on'])}`,
    `alter system set full_page_writes = ${world.chance(4) ? 'off' : 'on'}`,
    'select pg_reload_conf()',
  ]
}
