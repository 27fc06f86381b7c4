// Runs the tests: first the quick ones in one process, then every slow file in a process of its own. With arguments, runs
// just the files that contain one of them in their name.
import { spawnSync } from 'node:child_process'
import { chmodSync, globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const wanted = process.argv.slice(2)
const all = globSync(['src/**/*.test.ts', 'test/**/*.test.ts'], { cwd: root })
  .toSorted()
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
const slow = all.filter((file) => file.endsWith('.slow.test.ts'))
const quick = all.filter((file) => !slow.includes(file))

if (all.length === 0) {
  console.error(`no test file matches ${wanted.join(' ')}`)
  process.exit(1)
}

// What Node compiles, for all processes of this run and the users that they run as.
const compileCache = mkdtempSync(join(tmpdir(), 'hf-compiled-'))
chmodSync(compileCache, 0o1777)
process.on('exit', () => rmSync(compileCache, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

const isGreen = [
  run(quick, ['--test-reporter=dot', '--test-isolation=none', '--test-timeout=60000']),
  run(slow, ['--test-reporter=spec', '--test-concurrency=3', '--test-timeout=1200000']),
].every(Boolean)
process.exitCode = isGreen ? 0 : 1

function run(files: readonly string[], options: readonly string[]): boolean {
  if (files.length === 0) return true
  const { status } = spawnSync(process.execPath, ['--test', ...options, ...files], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
  })
  return status === 0
}
