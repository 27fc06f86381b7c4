import { OperationError } from '../domain/operation-error.ts'
import { quote } from '../domain/quote.ts'
import { localFolderOf } from '../storage/open-store.ts'
import type { PlannedRepo } from './initial-configuration.ts'

/** A key that is stored with what it locks protects nothing. Throws `path-unsafe`. */
export function refuseKeyInRepository({
  location,
  keyFile,
}: Pick<PlannedRepo, 'location' | 'keyFile'>): void {
  const path = localFolderOf(location)
  if (path === undefined || keyFile === undefined || !isInside(keyFile, path)) return
  throw new OperationError(
    'path-unsafe',
    `setting up the key ${quote(keyFile)}: it would lie in its own repository`,
    {
      hint: 'Name another place with --key-file: whoever gets the repository must not get the key with it.',
    },
  )
}

/** A repository inside the cluster dies with it. Throws `path-unsafe`. */
export function refuseRepositoryInCluster(
  { location }: Pick<PlannedRepo, 'location'>,
  { dataDirectory }: { readonly dataDirectory: string },
): void {
  const path = localFolderOf(location)
  if (path === undefined || (!isInside(path, dataDirectory) && !isInside(dataDirectory, path))) return
  throw new OperationError(
    'path-unsafe',
    `setting up the repository ${quote(path)}: it and the data directory ${quote(dataDirectory)} lie in each other`,
    { hint: 'Name a place outside the data directory, best on another machine or disk.' },
  )
}

const isInside = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`)
