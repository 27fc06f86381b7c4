import {
  CreateBucketCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import type { S3Server } from './s3-server.ts'

export interface S3Keys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

type Reached = S3Keys & Pick<S3Server, 'endpoint'>

/** A client for what the store under test does not do. The caller destroys it. */
export function connectPlainly({ endpoint, accessKeyId, secretAccessKey }: Reached): S3Client {
  const credentials = { accessKeyId, secretAccessKey }
  return new S3Client({ endpoint, region: 'us-east-1', credentials, forcePathStyle: true })
}

/** Makes a bucket, which may keep versions, or have object lock, and so versions too. */
export async function makeBucket(
  server: Reached,
  name: string,
  kind: 'plain' | 'versioned' | 'locked' = 'plain',
): Promise<void> {
  using owned = new DisposableStack()
  const client = owned.adopt(connectPlainly(server), (used) => used.destroy())
  await client.send(new CreateBucketCommand({ Bucket: name, ObjectLockEnabledForBucket: kind === 'locked' }))
  if (kind !== 'versioned') return
  const VersioningConfiguration = { Status: 'Enabled' } as const
  await client.send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration }))
}

/** Another user, who may read and add in a bucket and not delete: by the policy of docs/s3.md. */
export async function makeAddOnlyUser(server: S3Server, name: string, of: string): Promise<S3Keys> {
  const made = server.makeUser(name)
  using owned = new DisposableStack()
  const client = owned.adopt(connectPlainly(server), (used) => used.destroy())
  await client.send(
    new PutBucketPolicyCommand({ Bucket: of, Policy: JSON.stringify(addOnlyPolicy(name, of)) }),
  )
  return made
}

function addOnlyPolicy(name: string, of: string): unknown {
  const Principal = { AWS: [`arn:aws:iam:::user/${name}`] }
  const Resource = `arn:aws:s3:::${of}/*`
  const added = ['s3:GetObject', 's3:PutObject', 's3:PutObjectRetention']
  const denied = ['s3:DeleteObject', 's3:DeleteObjectVersion', 's3:BypassGovernanceRetention']
  return {
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Principal, Action: ['s3:ListBucket'], Resource: `arn:aws:s3:::${of}` },
      { Effect: 'Allow', Principal, Action: added, Resource },
      { Effect: 'Deny', Principal, Action: denied, Resource },
      // At Ceph an object belongs to the user who stored it: the owner of the bucket needs a permission too.
      { Effect: 'Allow', Principal: { AWS: ['arn:aws:iam:::user/test'] }, Action: ['s3:*'], Resource },
    ],
  }
}
