/** What the tap is told through the environment. */
export interface TapSettings {
  /** Where it writes a line for each call: see `TapEvent`. */
  readonly logFile: string
  /** Undefined: nothing goes wrong, the calls are only written down. */
  readonly fault?: Fault
  /** Which calls are counted, written down and failed. Default: those that change something. */
  readonly watches?: 'changes' | 'reads'
  /** Also writes down what each call was about: paths as they really are, and inodes. */
  readonly isDetailed?: boolean
  /** Makes the program `sync` useless, so that every file has to be synced by itself. */
  readonly hidesSync?: boolean
}

export interface Fault {
  readonly kind: FaultKind
  /** The how manieth call it strikes, from 1. */
  readonly at: number
}

/** 'short': a read or a write does half of what it was asked for, as POSIX lets it, and says so. */
export const faultKinds = ['kill', 'EIO', 'ENOSPC', 'short'] as const
export type FaultKind = (typeof faultKinds)[number]

/** The variable that holds the settings as JSON. It is gone when the tool looks at its environment. */
export const tapVariable = 'HOLDFAST_TAP'

export type TapOperation =
  | 'open'
  | 'read'
  | 'write'
  | 'fsync'
  /** Of a whole file system, by the program `sync`. */
  | 'syncfs'
  | 'rename'
  | 'link'
  | 'symlink'
  | 'unlink'
  | 'mkdir'
  | 'rmdir'
  | 'truncate'

/** A line of the log: a call begins, or it ends well. One that fails has no end. */
export type TapEvent = TapBegin | TapEnd

export interface TapBegin {
  readonly event: 'begin'
  /** 1, 2, ... over all threads of the process. */
  readonly call: number
  readonly operation: TapOperation
  /** Of a name: the folder as it really is, and the name. Of a descriptor: as /proc has it. */
  readonly path: string
  /** The second name of rename and link. */
  readonly to?: string
  /** Of what the call is about, when it exists before it. */
  readonly inode?: string
  /** Of a name: the device that its folder is on. Of a file system: its own. */
  readonly device?: string
  /** Whether an open may create the file, or truncates it. */
  readonly creates?: boolean
  /** How much is to be read or written, where the call says so. */
  readonly lengthBytes?: number
  /** The fault struck here. */
  readonly fault?: FaultKind
}

interface TapEnd {
  readonly event: 'end'
  readonly call: number
  /** Of what was made or opened. */
  readonly inode?: string
}
