import { readdir, readFile, readlink } from 'node:fs/promises'
import { hasSystemCode } from './durable-file.ts'

/**
 * The paths of the files that a process and its children have open, as Linux shows them to the same user; undefined when that
 * cannot be told.
 */
export async function openFilesOf(pid: number): Promise<ReadonlySet<string> | undefined> {
  try {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
    const pids = [String(pid), ...children.trim().split(' ').filter(Boolean)]
    const found = await Promise.all(pids.map(openFilesOfOne))
    return new Set(found.flat())
  } catch {
    return undefined // it has ended, or this is another system
  }
}

async function openFilesOfOne(pid: string): Promise<readonly string[]> {
  const folder = `/proc/${pid}/fd`
  const names = await readdir(folder)
  return (await Promise.all(names.map((name) => linkTarget(`${folder}/${name}`)))).flat()
}

async function linkTarget(path: string): Promise<readonly string[]> {
  try {
    return [await readlink(path)]
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return [] // closed meanwhile
    throw error
  }
}
