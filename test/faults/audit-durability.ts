import { dirname } from 'node:path'
import type { TapBegin, TapEvent, TapOperation } from './tap-settings.ts'

export interface AuditRules {
  /** Names that a power loss after the promise must not take away, nor what they hold. */
  readonly isPromised: (path: string) => boolean
  /** Names that only promise what they hold: whoever misses the name asks again. */
  readonly isContentOnly?: (path: string) => boolean
  /** Names whose appearance makes a promise for everything before them. The end of the process always does. */
  readonly isAcknowledgement?: (path: string) => boolean
}

export interface AuditReport {
  /** How many names were checked, at how many promises. */
  readonly publishedCount: number
  readonly promiseCount: number
  readonly violations: readonly string[]
}

/**
 * Reads a record of what a process did and says what was promised before it was durable (K9): the bytes of a file are
 * synced before it gets its name, its folder after that, and both before the process makes a promise. Assumes nothing
 * about the file system but what fsync(2) says: of a file, its bytes; of a folder, the names in it. And syncfs(2): of all
 * files and folders of the file system.
 */
export function auditDurability(events: readonly TapEvent[], rules: AuditRules): AuditReport {
  const audit = new Audit(rules)
  for (const event of events) {
    if (event.event === 'begin') audit.begin(event)
    else audit.end(event.call, event.inode)
  }
  audit.promise('the end of the process')
  return audit.report()
}

interface Name {
  readonly inode: string | undefined
  /** That its folder is on. */
  readonly device: string | undefined
  /** Until its folder is synced. */
  isDurable: boolean
}

interface Written {
  readonly inode: string
  readonly call: number
}

class Audit {
  readonly #rules: AuditRules
  readonly #begun = new Map<number, TapBegin>()
  readonly #names = new Map<string, Name>()
  /** Of each inode, the writes that no sync has covered, and whether they have ended. */
  readonly #writes = new Map<string, Map<number, boolean>>()
  /** Of each sync that runs, what it will have made durable. */
  readonly #covered = new Map<
    number,
    { readonly writes: readonly Written[]; readonly names: readonly string[] }
  >()
  readonly #violations: string[] = []
  readonly #enders: Readonly<Record<TapOperation, (call: TapBegin, inode: string | undefined) => void>>
  #publishedCount = 0
  #promiseCount = 0

  constructor(rules: AuditRules) {
    this.#rules = rules
    const endWrite = ({ call, inode = '' }: TapBegin): unknown => this.#writes.get(inode)?.set(call, true)
    const add = ({ path, device }: TapBegin): void => this.#addName(path, { inode: undefined, device })
    const remove = ({ path }: TapBegin): void => this.#removeNames(path)
    this.#enders = {
      read: () => undefined,
      write: endWrite,
      truncate: endWrite,
      fsync: (call) => this.#endSync(call),
      syncfs: (call) => this.#endSync(call),
      open: (call, inode) => this.#endOpen(call, inode),
      mkdir: add,
      symlink: add,
      link: ({ to = '', inode, device }) => this.#addName(to, { inode, device }),
      rename: ({ path, to = '', inode, device }) => {
        this.#removeNames(path)
        this.#addName(to, { inode, device })
      },
      unlink: remove,
      rmdir: remove,
    }
  }

  begin(call: TapBegin): void {
    this.#begun.set(call.call, call)
    if (call.operation === 'write' || call.operation === 'truncate') this.#beginWrite(call)
    if (call.operation === 'fsync') this.#beginSync(call)
    if (call.operation === 'syncfs') this.#beginFileSystemSync(call)
    if (call.operation === 'link' || call.operation === 'rename') this.#beginNaming(call)
  }

  end(number: number, inode: string | undefined): void {
    const call = this.#begun.get(number)
    if (call === undefined) return
    this.#begun.delete(number)
    this.#enders[call.operation](call, inode)
  }

  /** Everything that is there by now must be durable. */
  promise(what: string): void {
    this.#promiseCount += 1
    for (const [path, { inode, isDurable }] of this.#names) {
      const isContentOnly = this.#rules.isContentOnly?.(path) === true
      if (!this.#rules.isPromised(path) && !isContentOnly) continue
      this.#publishedCount += 1
      if (this.#isUnsynced(inode)) this.#violations.push(`${what}: what "${path}" holds is not synced`)
      if (!isDurable && !isContentOnly) this.#violations.push(`${what}: the name "${path}" is not synced`)
    }
  }

  report(): AuditReport {
    return {
      publishedCount: this.#publishedCount,
      promiseCount: this.#promiseCount,
      violations: this.#violations,
    }
  }

  #beginWrite({ call, inode, path }: TapBegin): void {
    // A function that takes a path and writes at once cannot have been synced.
    const key = inode ?? `path ${path}`
    const writes = this.#writes.get(key) ?? new Map<number, boolean>()
    this.#writes.set(key, writes.set(call, false))
  }

  #beginSync({ call, inode = '', path }: TapBegin): void {
    const names = [...this.#names.keys()].filter((name) => dirname(name) === path)
    this.#covered.set(call, { writes: this.#endedWrites(inode), names })
  }

  #beginFileSystemSync({ call, device }: TapBegin): void {
    const inodes = [...this.#writes.keys()].filter((inode) => inode.startsWith(`${device}:`))
    const names = [...this.#names].filter(([, name]) => name.device === device).map(([path]) => path)
    this.#covered.set(call, { writes: inodes.flatMap((inode) => this.#endedWrites(inode)), names })
  }

  #endedWrites(inode: string): readonly Written[] {
    const writes = this.#writes.get(inode) ?? new Map<number, boolean>()
    return [...writes].filter(([, isEnded]) => isEnded).map(([call]) => ({ inode, call }))
  }

  #endOpen({ path, creates, device }: TapBegin, inode: string | undefined): void {
    if (creates === true && !this.#names.has(path)) this.#addName(path, { inode, device })
  }

  #endSync({ call }: TapBegin): void {
    const { writes = [], names = [] } = this.#covered.get(call) ?? {}
    this.#covered.delete(call)
    for (const { inode, call: written } of writes) this.#writes.get(inode)?.delete(written)
    for (const path of names) {
      const name = this.#names.get(path)
      if (name !== undefined) name.isDurable = true
    }
  }

  #beginNaming({ operation, inode, path, to = '' }: TapBegin): void {
    if (this.#rules.isAcknowledgement?.(to) === true) this.promise(`"${to}"`)
    const isOfInterest = this.#rules.isPromised(to) || this.#rules.isContentOnly?.(to) === true
    if (isOfInterest && this.#isUnsynced(inode))
      this.#violations.push(`${operation} of "${path}" to "${to}" before what it holds is synced`)
  }

  #isUnsynced(inode: string | undefined): boolean {
    return inode !== undefined && (this.#writes.get(inode)?.size ?? 0) > 0
  }

  #addName(path: string, { inode, device }: Pick<Name, 'inode' | 'device'>): void {
    this.#names.set(path, { inode, device, isDurable: false })
  }

  #removeNames(path: string): void {
    for (const name of this.#names.keys())
      if (name === path || name.startsWith(`${path}/`)) this.#names.delete(name)
  }
}
