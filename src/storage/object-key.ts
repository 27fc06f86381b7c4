import assert from 'node:assert/strict'

const maxKeyLength = 512
const segmentPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}$/

/**
 * True for 1 to 512 characters: segments of `A-Z a-z 0-9 . _ -`, joined by `/`. No segment is empty, longer than 255 or
 * begins with a dot. So every key is a path on every file system and a key of every object store as it stands, none
 * climbs out of its folder, and names that begin with a dot are left for the stores' own use.
 */
export function isObjectKey(text: string): boolean {
  return text.length <= maxKeyLength && text.split('/').every(isKeySegment)
}

/** True for a name that can stand between the slashes of a key. */
export function isKeySegment(text: string): boolean {
  return segmentPattern.test(text)
}

/** A bad key is a bug: keys are made by us, never by an operator. */
export function assertObjectKey(key: string): void {
  assert.ok(isObjectKey(key), `"${key}" is not an object key`)
}

/** A prefix is empty, a key, or a key and a slash. */
export function assertKeyPrefix(prefix: string): void {
  const isPrefix = prefix === '' || isObjectKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)
  assert.ok(isPrefix, `"${prefix}" cannot begin an object key`)
}
