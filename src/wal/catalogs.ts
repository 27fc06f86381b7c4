/**
 * OIDs of catalogs: pg_class.h, pg_database.h and pg_namespace.h in catalog/. Their files have the same numbers, until a catalog is
 * rewritten.
 */
export const catalogs = { class: 1259, database: 1262, namespace: 2615 } as const
