// Runs the tests: the quick ones in one process, and beside them every slow file in a process of its own. With arguments, runs
// just the files that contain one of them in their name.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

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

// One process has one processor for itself, and the slow ones have the others from the beginning.
const isGreen = await Promise.all([
  run(quick, ['--test-reporter=dot', '--test-isolation=none', '--test-timeout=60000'], 'pipe'),
  run(slow, ['--test-reporter=spec', '--test-concurrency=3', '--test-timeout=1200000'], 'inherit'),
])
process.exitCode = isGreen.every(Boolean) ? 0 : 1

/** With `pipe` all that they print is printed when they have ended. */
async function run(
  files: readonly string[],
  options: readonly string[],
  output: 'pipe' | 'inherit',
): Promise<boolean> {
  if (files.length === 0) return true
  const child = spawn(process.execPath, ['--test', ...options, ...files], {
    cwd: root,
    stdio: ['ignore', output, 'inherit'],
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
  })
  const printed = child.stdout === null ? '' : text(child.stdout)
  await once(child, 'close')
  process.stdout.write(await printed)
  return child.exitCode === 0
}
