import type { AffectedListing, FoundTransaction } from '../../src/api/find-document.ts'

/** What a transaction did, as tests compare it: `deleted 2500 shop.public.people, dropped shop.old.a`. */
export function foundText({ affected }: FoundTransaction): string {
  return affected.map(affectedText).toSorted().join(', ')
}

function affectedText({ effect, rows, database, schema, name }: AffectedListing): string {
  const what = [effect, ...(rows === null ? [] : [rows])].join(' ')
  return `${what} ${[database, schema, name].filter((part) => part !== null).join('.')}`
}
