import type * as Sdk from '@aws-sdk/client-s3'
import { isObjectKey } from '../object-key.ts'
import { AnswerFault } from '../answer-fault.ts'
import type { S3Connection } from './s3-requests.ts'

/** What was done to a key once: an object was stored, or deleted. */
export interface KeyVersion {
  readonly key: string
  readonly versionId: string
  /** When, by the store's clock. AWS tells whole seconds. */
  readonly modifiedAtMs: number
  readonly sizeBytes: number
  /** Nothing was there from then on: a delete marker. */
  readonly isDeletion: boolean
}

export interface VersionPage {
  /** By key, and of one key the newest first. */
  readonly versions: readonly KeyVersion[]
  /** Undefined: this was the last one. */
  readonly next: VersionPosition | undefined
}

export interface VersionPosition {
  readonly key: string
  readonly versionId: string | undefined
}

/** One page of the versions of all keys that begin with the prefix. */
export async function listVersionPage(
  { sdk, client, bucket, keyPrefix }: S3Connection,
  {
    prefix,
    after,
    limit,
  }: { readonly prefix: string; readonly after?: VersionPosition; readonly limit: number },
  signal: AbortSignal,
): Promise<VersionPage> {
  const asked = `${keyPrefix}${prefix}`
  const command = new sdk.ListObjectVersionsCommand({
    Bucket: bucket,
    Prefix: asked,
    MaxKeys: limit,
    KeyMarker: after?.key,
    VersionIdMarker: after?.versionId,
  })
  const answer = await client.send(command, { abortSignal: signal })
  const next = nextOf(answer, asked)
  // The SDK has taken apart what the store told in one order.
  const versions = [
    ...(answer.Versions ?? []).map((stored) => toVersion(stored, asked, keyPrefix)),
    ...(answer.DeleteMarkers ?? []).map((marker) => toVersion(marker, asked, keyPrefix)),
  ]
  return { versions: versions.filter(({ key }) => isObjectKey(key)).toSorted(byKeyThenNewest), next }
}

function nextOf(answer: Sdk.ListObjectVersionsCommandOutput, asked: string): VersionPosition | undefined {
  const { IsTruncated: isTruncated, NextKeyMarker: key, NextVersionIdMarker: versionId } = answer
  if (isTruncated === undefined || (answer.Prefix ?? '') !== asked) {
    throw new AnswerFault('the store answered a listing of versions with something else')
  }
  if (!isTruncated) return undefined
  if (key === undefined || key === '') {
    throw new AnswerFault('the store cut a listing of versions without saying where it goes on')
  }
  return { key, versionId }
}

/** A delete marker has no size. */
function toVersion(
  told: Sdk.ObjectVersion | Sdk.DeleteMarkerEntry,
  asked: string,
  keyPrefix: string,
): KeyVersion {
  const { Key: key, VersionId: versionId, LastModified: modified } = told
  if (key === undefined || !key.startsWith(asked) || versionId === undefined || modified === undefined) {
    throw new AnswerFault('the store listed a version without saying all of it')
  }
  const sizeBytes = 'Size' in told ? told.Size : undefined
  return {
    key: key.slice(keyPrefix.length),
    versionId,
    modifiedAtMs: modified.getTime(),
    sizeBytes: sizeBytes ?? 0,
    isDeletion: sizeBytes === undefined,
  }
}

/** Sorting is stable: of versions of one key and time the store's order stays, which is newest first. */
function byKeyThenNewest(one: KeyVersion, other: KeyVersion): number {
  if (one.key !== other.key) return one.key < other.key ? -1 : 1
  return other.modifiedAtMs - one.modifiedAtMs
}
