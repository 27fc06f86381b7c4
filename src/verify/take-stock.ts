import { surveyArchive, type ArchiveSurvey } from '../archive/archive-inventory.ts'
import type { ArchivePlace } from '../archive/archive-place.ts'
import type { RunContext } from '../domain/run-context.ts'
import { readCatalogue } from '../repository/catalogue.ts'
import type { AssessmentFacts } from './assess-damage.ts'
import { checkCatalogue } from './check-catalogue.ts'
import { checkMetadata } from './check-metadata.ts'
import { readOrProblem, type Finding } from './object-problem.ts'
import type { ArchiveFacts } from './prove-wal.ts'
import { listGroups, type StoredGroups } from './verify-groups.ts'

/** What there is to prove, and what is wrong with what says so. */
export interface Stock {
  readonly findings: readonly Finding[]
  /** Key slots, cluster records and catalogue entries. */
  readonly objects: number
  readonly facts: AssessmentFacts
  /** Undefined: the histories could not be read, which is found when they are proven. */
  readonly survey: ArchiveSurvey | undefined
  readonly archive: ArchiveFacts
  readonly stored: StoredGroups
}

const unknownArchive: ArchiveFacts = { histories: new Map(), hasSegment: () => false }

/**
 * Reads the metadata wholly and lists the rest. The catalogue comes before the listings: what it names was stored before,
 * so it must be in them, while a backup that is published meanwhile is for the next run.
 */
export async function takeStock(place: ArchivePlace, context: RunContext): Promise<Stock> {
  const metadata = await checkMetadata(place, context)
  const catalogue = await checkCatalogue(place, context)
  const survey = await surveyIfReadable(place, context)
  return {
    findings: [...metadata.findings, ...catalogue.findings],
    objects: metadata.objects + catalogue.objects,
    facts: {
      backups: catalogue.backups,
      dumps: catalogue.dumps,
      newestCatalogueKey: catalogue.newestKey,
      histories: survey?.histories ?? unknownArchive.histories,
    },
    survey,
    archive: survey ?? unknownArchive,
    stored: await listGroups(catalogue.dumps, place, context),
  }
}

/**
 * What the catalogue and the archive say now: backups may have been removed, and WAL with them. In this order the archive has all WAL of what
 * is listed.
 */
export async function refreshFacts(
  stock: Stock,
  place: ArchivePlace,
  context: RunContext,
): Promise<Pick<Stock, 'facts' | 'survey'>> {
  const read = await readOrProblem(() => readCatalogue(place.repository, place.cluster.id, context))
  const survey = await surveyIfReadable(place, context)
  const { backups, dumps } = 'content' in read ? read.content : stock.facts
  const histories = survey?.histories ?? stock.facts.histories
  return { survey, facts: { ...stock.facts, backups, dumps, histories } }
}

async function surveyIfReadable(
  place: ArchivePlace,
  context: RunContext,
): Promise<ArchiveSurvey | undefined> {
  const read = await readOrProblem(() => surveyArchive(place, context))
  return 'content' in read ? read.content : undefined
}
