import assert from 'node:assert/strict'
import type { DamageName, Objects, Strike } from './damages.ts'
import { newerBackup, olderBackup } from './damaged-site.ts'
import type { ProbeName } from './probes.ts'

/**
 * What must come of a probe: the same as without damage, a refusal with one of these exit codes, or a proven absence. `or
 * the same` for damage to two objects, of which the probe may need one.
 */
export type Expectation =
  | { readonly kind: 'same' }
  | { readonly kind: 'refused'; readonly exitCodes: readonly number[]; readonly orSame?: true }
  | { readonly kind: 'absent' }

type Exceptions = Partial<Record<DamageName, Expectation | Partial<Record<ProbeName, Expectation>>>>

export interface ObjectKind {
  readonly name: string
  readonly strike: (objects: Objects) => Strike
  /** The probes that read it: they refuse whatever is wrong with it. All others do not notice. */
  readonly neededBy: readonly ProbeName[]
  /** What a refusal's message says of the object. Default: its key. */
  readonly says?: RegExp
  readonly exceptions?: Exceptions
}

const all: readonly ProbeName[] = [
  'restore of the newer backup',
  'restore of the older backup',
  'restore along the second timeline',
  'archive-get of the segment',
  'archive-get of the history',
]
const restores = all.slice(0, 3)
const newerRestores: readonly ProbeName[] = [
  'restore of the newer backup',
  'restore along the second timeline',
]
const same: Expectation = { kind: 'same' }
const absent: Expectation = { kind: 'absent' }
const refused = (...exitCodes: readonly number[]): Expectation => ({ kind: 'refused', exitCodes })

/** A line for each kind of object that a repository holds. */
export const objectKinds: readonly ObjectKind[] = [
  {
    name: 'the header',
    strike: () => ({ key: 'holdfast', sibling: undefined, older: undefined, otherName: 'holdfast2' }),
    neededBy: all,
    says: /the header of the repository|expected a repository|format version/,
    exceptions: {
      'its first bit flipped': refused(2),
      'other bytes in its place': refused(2),
      'all of it cut off': refused(2),
      '4 kB of zeros in its middle': refused(2),
      deleted: refused(2),
      'moved to another name': refused(2),
    },
  },
  {
    name: 'the key slot',
    strike: (objects) => {
      const keys = keysOf(objects, /^keys\//)
      const [sibling] = keys
      const own = keys.find((key) => key !== 'keys/00000000000000aa') ?? assert.fail()
      return { key: own, sibling, older: undefined, otherName: 'keys/00000000000000bb' }
    },
    neededBy: all,
    // A slot whose seal does not open may be somebody else's: it cannot be told from a wrong key.
    says: /the configured key file is not one of its keys/,
    exceptions: {
      ...everyDamage(refused(2)),
      'copied under another name': same,
      'moved to another name': same,
      'a sibling swapped with it': same,
    },
  },
  {
    name: 'the cluster record',
    strike: (objects) => {
      const keys = keysOf(objects, /^clusters\//)
      const key = keys.find((candidate) => candidate.endsWith('/0002')) ?? assert.fail()
      const older = key.replace('/0002', '/0001')
      const sibling = keys.find((candidate) => candidate !== key && candidate !== older)
      return { key, sibling, older, otherName: key.replace('/0002', '/0003') }
    },
    neededBy: all,
    says: /clusters\//,
    // Of a record that is gone the one before it counts; a copy under a later number is not sealed for that name.
    exceptions: {
      deleted: same,
      'copied under another name': refused(4),
      'moved to another name': refused(4),
    },
  },
  {
    name: 'the newest catalogue entry',
    strike: (objects) => catalogueStrike(objects, 2),
    neededBy: restores,
    says: /\/catalog\/|lists no such backup/,
    exceptions: {
      // Going back in time: the newer backup is not listed any more, the older one still is.
      deleted: {
        'restore of the newer backup': refused(3),
        'restore along the second timeline': refused(3),
        'restore of the older backup': same,
      },
      'copied under another name': onProbes(restores, refused(4)),
      'moved to another name': onProbes(restores, refused(4)),
    },
  },
  { name: 'an older catalogue entry', strike: (objects) => catalogueStrike(objects, 1), neededBy: [] },
  {
    name: 'a lease',
    strike: (objects) => {
      const [key, sibling] = keysOf(objects, /\/lease\/.*99999999$/)
      assert.ok(key !== undefined)
      return {
        key,
        sibling,
        older: key.replace('99999999', '00000000'),
        otherName: key.replace('0000000001', '0000000002'),
      }
    },
    neededBy: [],
  },
  // What only verify and sweep remember: whatever becomes of it, nothing that is needed is refused.
  { name: 'the newest verify state', strike: (objects) => memoryStrike(objects, 'verify'), neededBy: [] },
  { name: 'the marks of sweep', strike: (objects) => memoryStrike(objects, 'sweep'), neededBy: [] },
  {
    name: 'a pack',
    strike: (objects) => backupStrike(objects, /\/data\/.*\/000001$/, ['000001', '000002']),
    neededBy: newerRestores,
  },
  {
    name: 'a manifest',
    strike: (objects) => backupStrike(objects, /\/manifest$/, ['0001/manifest', '0002/manifest']),
    neededBy: newerRestores,
  },
  {
    name: 'a part of a manifest',
    strike: (objects) => backupStrike(objects, /\/part-0001$/, ['part-0001', 'part-0002']),
    neededBy: newerRestores,
  },
  {
    name: 'a WAL segment',
    strike: (objects) => {
      const of = (name: string): string | undefined => keysOf(objects, new RegExp(`/wal/.*/${name}-`))[0]
      const key = of('000000010000000000000004') ?? assert.fail()
      return {
        key,
        sibling: of('000000010000000000000005'),
        older: of('000000010000000000000003'),
        otherName: key.replace(/-[0-9a-f]{32}/, `-${'a'.repeat(32)}`),
      }
    },
    // Files alone are restored without it, as long as it is listed: recovery, which reads it, is archive-get's.
    neededBy: ['archive-get of the segment'],
    says: /000000010000000000000004/,
    exceptions: {
      deleted: {
        ...onProbes(newerRestores, refused(3)),
        'archive-get of the segment': absent,
      },
      'copied under another name': {
        ...onProbes(newerRestores, refused(3)),
        'archive-get of the segment': same,
      },
    },
  },
  {
    name: 'the index of a segment',
    strike: (objects) => {
      const [older, key, sibling] = keysOf(objects, /\/index\//)
      assert.ok(key !== undefined)
      return { key, sibling, older, otherName: key.replace(/-[0-9a-f]{32}/, `-${'a'.repeat(32)}`) }
    },
    // The segment tells the same.
    neededBy: [],
  },
  {
    name: 'a history file',
    strike: (objects) => {
      const [key, sibling] = keysOf(objects, /\/history\//)
      assert.ok(key !== undefined)
      return {
        key,
        sibling,
        older: undefined,
        otherName: key.replace(/-[0-9a-f]{32}/, `-${'a'.repeat(32)}`),
      }
    },
    neededBy: ['restore along the second timeline', 'archive-get of the history'],
    says: /00000002\.history/,
    exceptions: {
      deleted: {
        'restore along the second timeline': refused(3),
        'archive-get of the history': absent,
      },
    },
  },
]

/** What must come of a probe after damage to an object of this kind. */
export function expectation(kind: ObjectKind, damage: DamageName, probe: ProbeName): Expectation {
  const exception = kind.exceptions?.[damage]
  const own = exception === undefined || 'kind' in exception ? exception : exception[probe]
  if (own !== undefined) return own
  const isNeeded = kind.neededBy.includes(probe) && damage !== 'copied under another name'
  if (isNeeded) return refused(4)
  return damage === 'a sibling swapped with it' ? { kind: 'refused', exitCodes: [4], orSame: true } : same
}

function catalogueStrike(objects: Objects, number: 1 | 2): Strike {
  const [first, second, sibling] = catalogueOfMain(objects)
  const key = number === 1 ? first : second
  return {
    key,
    sibling,
    older: number === 1 ? undefined : first,
    otherName: number === 1 ? key.replace(/0000000001$/, '0000000000') : key.replace(/2$/, '3'),
  }
}

function memoryStrike(objects: Objects, folder: 'verify' | 'sweep'): Strike {
  const keys = keysOf(objects, new RegExp(`/${folder}/`))
  const key =
    keys.find((candidate) => candidate.endsWith('2') && isOfMain(objects, candidate)) ?? assert.fail()
  const older = key.replace(/2$/, '1')
  return {
    key,
    sibling: keys.find((other) => !isOfMain(objects, other)),
    older: objects.has(older) ? older : undefined,
    otherName: key.replace(/2$/, '3'),
  }
}

/** The cluster that two backups are listed of. */
function isOfMain(objects: Objects, key: string): boolean {
  const [clusterId = ''] = key.split('/')
  return catalogueOfMain(objects)[0].startsWith(clusterId)
}

function catalogueOfMain(objects: Objects): readonly [string, string, string | undefined] {
  const keys = keysOf(objects, /\/catalog\//)
  const second = keys.find((key) => key.endsWith('0000000002')) ?? assert.fail()
  const first = second.replace(/2$/, '1')
  return [first, second, keys.find((key) => key !== first && key !== second)]
}

/** An object of the newer backup of the first cluster; the sibling is the other cluster's, the older one the older backup's. */
function backupStrike(objects: Objects, pattern: RegExp, [from, to]: readonly [string, string]): Strike {
  const keys = keysOf(objects, pattern)
  const older = keys.find((key) => key.includes(olderBackup)) ?? assert.fail()
  const key = older.replaceAll(olderBackup, newerBackup)
  return {
    key,
    older,
    sibling: keys.find((other) => other !== key && other !== older),
    otherName: key.replace(from, to),
  }
}

function keysOf(objects: Objects, pattern: RegExp): readonly string[] {
  return [...objects.keys()].filter((key) => pattern.test(key)).toSorted()
}

function onProbes(
  names: readonly ProbeName[],
  expected: Expectation,
): Partial<Record<ProbeName, Expectation>> {
  return Object.fromEntries(names.map((name) => [name, expected]))
}

function everyDamage(expected: Expectation): Exceptions {
  const names: readonly DamageName[] = [
    'its first bit flipped',
    'a bit in its middle flipped',
    'its last bit flipped',
    '4 kB of zeros in its middle',
    'its last byte cut off',
    'half of it cut off',
    'all of it cut off',
    'junk behind it',
    'other bytes in its place',
    'a sibling copied over it',
    'deleted',
  ]
  return Object.fromEntries(names.map((name) => [name, expected]))
}
