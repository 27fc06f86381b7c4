import { seededRandom } from '../support/seeded-random.ts'

/** Objects by their keys: a repository that can be copied and damaged at no cost. */
export type Objects = ReadonlyMap<string, Uint8Array>

/** Where damage strikes, and what else it may put there. */
export interface Strike {
  readonly key: string
  /** Another object of the same kind. */
  readonly sibling: string | undefined
  /** An earlier object of the same kind and owner: what an attacker replays. */
  readonly older: string | undefined
  /** Another key of this kind that no object has. */
  readonly otherName: string
}

/** Gives the objects as they are after the damage; undefined where this kind of object cannot be damaged so. */
export type Damage = (objects: Objects, strike: Strike) => Objects | undefined

const onBytes =
  (change: (bytes: Uint8Array) => Uint8Array): Damage =>
  (objects, { key }) => {
    const bytes = objects.get(key)
    const changed = bytes && change(bytes)
    return bytes === undefined || changed === undefined || same(bytes, changed)
      ? undefined
      : new Map([...objects, [key, changed]])
  }

const flipAt =
  (bitOf: (bitCount: number) => number) =>
  (bytes: Uint8Array): Uint8Array => {
    const bit = bitOf(bytes.length * 8)
    return bytes.with(bit >> 3, (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7)))
  }

const zeroedBytes = 4096

function zeroMiddle(bytes: Uint8Array): Uint8Array {
  const start = Math.max(0, Math.floor((bytes.length - zeroedBytes) / 2))
  return Uint8Array.from(bytes).fill(0, start, start + zeroedBytes)
}

const junk = Uint8Array.from({ length: 100 }, seededByte(1))

function seededByte(seed: number): () => number {
  const random = seededRandom(seed)
  return () => random(256)
}

const copyOf =
  (which: 'sibling' | 'older'): Damage =>
  (objects, strike) => {
    const source = strike[which]
    const bytes = source === undefined ? undefined : objects.get(source)
    return bytes && new Map([...objects, [strike.key, bytes]])
  }

/** RULES 3.4: everything that happens to bytes at rest, and what somebody who can write to the store can do without a key. */
export const damages = {
  'its first bit flipped': onBytes(flipAt(() => 0)),
  'a bit in its middle flipped': onBytes(flipAt((bitCount) => bitCount >> 1)),
  'its last bit flipped': onBytes(flipAt((bitCount) => bitCount - 1)),
  '4 kB of zeros in its middle': onBytes(zeroMiddle),
  'its last byte cut off': onBytes((bytes) => bytes.slice(0, -1)),
  'half of it cut off': onBytes((bytes) => bytes.slice(0, bytes.length >> 1)),
  'all of it cut off': onBytes(() => new Uint8Array()),
  'junk behind it': onBytes((bytes) => Uint8Array.from([...bytes, ...junk])),
  'other bytes in its place': onBytes((bytes) => Uint8Array.from(bytes, seededByte(2))),
  'a sibling swapped with it': (objects, strike) => {
    const { key, sibling = '' } = strike
    const [own, other] = [objects.get(key), objects.get(sibling)]
    return own && other && new Map([...objects, [key, other], [sibling, own]])
  },
  'a sibling copied over it': copyOf('sibling'),
  'an older one in its place': copyOf('older'),
  deleted: (objects, { key }) => new Map([...objects].filter(([other]) => other !== key)),
  'copied under another name': (objects, { key, otherName }) => {
    const bytes = objects.get(key)
    return bytes && new Map([...objects, [otherName, bytes]])
  },
  'moved to another name': (objects, { key, otherName }) => {
    const bytes = objects.get(key)
    return bytes && new Map([...[...objects].filter(([other]) => other !== key), [otherName, bytes]])
  },
} as const satisfies Record<string, Damage>

export type DamageName = keyof typeof damages

function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index])
}
