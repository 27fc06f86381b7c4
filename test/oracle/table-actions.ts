import { columns, indexMethods, rows, type Action, type Statement, type World } from './world.ts'

/** On an unlogged table a bloom index of PostgreSQL 16 can be no index any more after recovery: only one that stays logged has one. */
const tableMethods = indexMethods.filter((method) => method !== 'bloom')

/** What is done to tables and their indexes. */
export const tableActions: readonly Action[] = [
  { name: 'create table', plan: (world) => world.createTable(spaceOf(world)) },
  { name: 'drop table', plan: dropTable },
  { name: 'truncate', plan: truncate },
  { name: 'vacuum full', plan: (world) => [`vacuum full ${world.table().name}`] },
  { name: 'cluster', plan: cluster },
  { name: 'alter type', plan: alterType },
  { name: 'add column', plan: addColumn },
  { name: 'cut the tail', plan: cutTail },
  { name: 'cut to nothing', plan: cutToNothing },
  { name: 'bulk copy', plan: bulkCopy },
  { name: 'copy freeze', plan: copyFreeze },
  { name: 'insert', plan: (world) => [world.insert(world.table().name, world.random(8000))] },
  { name: 'update', plan: update },
  { name: 'clear visibility', plan: clearVisibility },
  { name: 'delete and vacuum', plan: deleteAndVacuum },
  { name: 'switch logging', plan: switchLogging },
  { name: 'switch logging back', plan: switchLogging },
  ...tableMethods.map((method): Action => ({
    name: `index by ${method}`,
    plan: (world) => world.createIndex(world.table().name, method),
  })),
  { name: 'reindex', plan: reindex },
  { name: 'hint bits', plan: hintBits },
  { name: 'long values', plan: longValues },
  { name: 'abort', plan: abort },
  { name: 'savepoints', plan: savepoints },
  { name: 'shared row locks', plan: shareRows },
  { name: 'materialized view', plan: materialize },
  { name: 'temporary table', plan: makeTemporary },
]

const spaceOf = (world: World): string =>
  world.chance(2) ? 'pg_default' : world.pick(['pg_default', ...world.spaces])

function dropTable(world: World): Statement[] {
  const replacement = world.createTable()
  const [dropped] = world.tables.splice(world.random(world.tables.length - 1), 1)
  return dropped === undefined ? replacement : [...replacement, `drop table ${dropped.name} cascade`]
}

function truncate(world: World): Statement[] {
  const { name } = world.table()
  const end = world.chance(3) ? 'rollback' : 'commit'
  return [
    `begin; truncate ${name}; ${world.insert(name, world.random(500))}; ${end}`,
    ...(world.chance(2) ? [world.insert(name, 300)] : []),
  ]
}

function cluster(world: World): Statement[] {
  const { name } = world.table()
  return [...world.createIndex(name, 'btree'), `cluster ${name} using ${name}_btree`]
}

function alterType(world: World): Statement[] {
  const type = world.pick(['bigint', 'numeric', 'int'])
  return [`alter table ${world.table().name} alter column wide type ${type} using wide::${type}`]
}

/** A volatile default rewrites the table. */
function addColumn(world: World): Statement[] {
  const { name } = world.table()
  return [
    `alter table ${name} add column extra text default md5(random()::text)`,
    `alter table ${name} drop column extra`,
  ]
}

function cutTail(world: World): Statement[] {
  const { name } = world.table()
  return [
    world.insert(name, 2000),
    ...(world.chance(2) ? ['checkpoint'] : []),
    `delete from ${name} where ctid >= '(${world.random(30)},0)'`,
    `vacuum ${name}`,
    ...(world.chance(2) ? [world.insert(name, world.random(3000))] : []),
  ]
}

function cutToNothing(world: World): Statement[] {
  const { name } = world.table()
  return [`delete from ${name}`, `vacuum (freeze) ${name}`, world.insert(name, 700)]
}

async function bulkCopy(world: World): Promise<Statement[]> {
  const { name } = world.table()
  const file = `${await world.makeFolder(world.name('copy'))}/rows`
  const from = world.random(50_000)
  return [
    `copy (${rows(from, from + 10_000, 2)}) to '${file}'`,
    `copy ${name} (id, filling, region, tags, place, wide) from '${file}'`,
  ]
}

/** Pages that are visible to all from the beginning. */
async function copyFreeze(world: World): Promise<Statement[]> {
  const { name } = world.table()
  const file = `${await world.makeFolder(world.name('copy'))}/rows`
  return [
    `copy (${rows(1, 3000, 2)}) to '${file}'`,
    `begin; truncate ${name}; copy ${name} (id, filling, region, tags, place, wide) from '${file}' (freeze); commit`,
    ...(world.chance(2) ? [`delete from ${name} where id % 101 = 0`] : []),
  ]
}

function update(world: World): Statement[] {
  const { name } = world.table()
  const column = world.pick(['filling = reverse(filling)', 'id = id + 1', 'tags = tags || 3'])
  const divisor = 1 + world.random(50)
  return [`update ${name} set ${column} where id % ${divisor} = 0`]
}

/** What clears bits of the visibility map names none of its blocks in the WAL (M15). */
function clearVisibility(world: World): Statement[] {
  const { name } = world.table()
  return [`vacuum (freeze) ${name}`, 'checkpoint', `delete from ${name} where id % 97 = ${world.random(97)}`]
}

function deleteAndVacuum(world: World): Statement[] {
  const { name } = world.table()
  return [
    `delete from ${name} where id % 3 = 0`,
    `vacuum (index_cleanup on) ${name}`,
    world.insert(name, 400),
  ]
}

function switchLogging(world: World): Statement[] {
  const table = world.table()
  table.isLogged = !table.isLogged
  return [
    `alter table ${table.name} set ${table.isLogged ? 'logged' : 'unlogged'}`,
    world.insert(table.name, world.random(500)),
  ]
}

function reindex(world: World): Statement[] {
  const { name } = world.table()
  return [
    ...world.createIndex(name, world.pick(tableMethods)),
    `reindex table ${world.chance(2) ? 'concurrently' : ''} ${name}`,
  ]
}

function hintBits(world: World): Statement[] {
  const { name } = world.table()
  return [
    world.insert(name, 3000),
    ...(world.chance(2) ? ['checkpoint'] : []),
    `select count(*) from ${name}`,
    ...(world.chance(2) ? ['checkpoint'] : []),
  ]
}

function longValues(world: World): Statement[] {
  const { name } = world.table()
  return [
    `alter table ${name} alter column filling set storage external`,
    `insert into ${name} (id, filling) select i, repeat(md5(i::text), ${100 + world.random(200)}) from generate_series(1, 60) i`,
    `update ${name} set filling = filling || 'x' where length(filling) > 2000 and id % 2 = 0`,
    `delete from ${name} where length(filling) > 2000 and id % 5 = 0`,
  ]
}

function abort(world: World): Statement[] {
  const { name } = world.table()
  return [
    `begin; ${world.insert(name, 4000)}; create table aborted ${columns}; ${world.insert('aborted', 2000)};
     create index on aborted (id); rollback`,
  ]
}

/** More of them than a backend keeps in shared memory (PGPROC_MAX_CACHED_SUBXIDS in storage/proc.h). */
function savepoints(world: World): Statement[] {
  const { name } = world.table()
  const kept = world.name('kept')
  return [
    `begin; savepoint one; ${world.insert(name, 300)}; create table ${kept} ${columns};
     savepoint two; create table given_up ${columns}; ${world.insert('given_up', 500)}; rollback to two;
     ${world.insert(kept, 200)}; ${world.chance(3) ? 'rollback' : 'commit'}`,
    `do $$ begin for i in 1..100 loop begin
       insert into ${name} (id, filling) values (i, 'in a savepoint');
       if i % 3 = 0 then raise 'enough'; end if;
     exception when raise_exception then null; end; end loop; end $$`,
  ]
}

/** Locks of more than one transaction in a row make it point to a multixact. */
function shareRows(world: World): Statement[] {
  const { name } = world.table()
  return [
    `begin; select count(*) from (select id from ${name} where id % 5 = 0 for key share) locked;
     savepoint s; update ${name} set filling = 'locked' where id % 10 = 0; commit`,
  ]
}

function materialize(world: World): Statement[] {
  const { name } = world.table()
  const view = world.name('view')
  return [
    `create materialized view ${view} as select id, filling from ${name} where id % 2 = 0`,

    `refresh materialized view ${view}`,
    ...(world.chance(2) ? [`drop materialized view ${view}`] : []),
  ]
}

function makeTemporary(world: World): Statement[] {
  return [
    `create temporary table fleeting ${columns}`,
    world.insert('fleeting', 1000),
    'create index on fleeting (id)',
  ]
}
