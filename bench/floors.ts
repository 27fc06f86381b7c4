// Holds every hot path to what it took when bench/floors.json was stored. Run: npm run bench:floors [-- --accept]
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createScratch } from '../test/support/scratch.ts'
import { describeMachine, machineKind } from './comparison/machine.ts'
import { dataPaths } from './floors/data-paths.ts'
import { measureHotPath, type HotPath } from './floors/hot-path.ts'
import { manifestPaths } from './floors/manifest-paths.ts'
import { readFloors, type Floor, type Floors } from './floors/stored-floors.ts'
import { walPaths } from './floors/wal-paths.ts'

/** How much worse than stored a path may be. */
const tolerance = 1.2
const floorsFile = join(import.meta.dirname, 'floors.json')

const machine = machineKind(describeMachine())
const measured = await measureAll()
if (process.argv.includes('--accept')) {
  const floors: Floors = { machine, node: process.versions.node, floors: measured }
  writeFileSync(floorsFile, `${JSON.stringify(floors, undefined, 2)}\n`)
  console.log(`stored in "${floorsFile}"`)
} else {
  compare(measured, readFloors(readFileSync(floorsFile, 'utf8')))
}

async function measureAll(): Promise<readonly Floor[]> {
  await using scratch = await createScratch('floors')
  const paths: readonly HotPath[] = [...dataPaths(), ...walPaths(scratch.folder), ...(await manifestPaths())]
  const floors: Floor[] = []
  for (const path of paths) {
    const seconds = await measureHotPath(path)
    floors.push({ name: path.name, per: path.per, cpuSeconds: Number(seconds.toPrecision(3)) })
    console.log(`${path.name}: ${seconds.toPrecision(3)} s of CPU per ${path.per}`)
  }
  return floors
}

/** On another kind of machine the figures say nothing about the code. */
function compare(now: readonly Floor[], stored: Floors): void {
  const worse = now.flatMap(({ name, cpuSeconds }) => {
    const floor = stored.floors.find((candidate) => candidate.name === name)
    if (floor === undefined) return [`${name}: nothing is stored; "--accept" stores it`]
    const share = cpuSeconds / floor.cpuSeconds
    const percent = `${((share - 1) * 100).toFixed(0)} %`
    return share <= tolerance ? [] : [`${name}: ${percent} worse than ${floor.cpuSeconds} s`]
  })
  for (const line of worse) console.error(line)
  if (stored.machine !== machine) {
    console.log(
      `the stored figures are from another machine (${stored.machine}, this is ${machine}): not judged`,
    )
  } else if (worse.length > 0) {
    process.exitCode = 1
  }
}
