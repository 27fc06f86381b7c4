import type { z } from 'zod'
import { nearestName } from './nearest-name.ts'

interface References {
  readonly clusters: Readonly<Record<string, { readonly repos?: readonly string[] | undefined }>>
  readonly repos: Readonly<Record<string, unknown>>
}

/** Reports what is wrong between the parts of a configuration of which each is right by itself. */
export function checkReferences({ clusters, repos }: References, context: z.core.$RefinementCtx): void {
  checkRepoNames({ clusters, repos }, context)
  checkTwins('clusters', Object.keys(clusters), context)
  checkTwins('repos', Object.keys(repos), context)
}

function checkRepoNames({ clusters, repos }: References, context: z.core.$RefinementCtx): void {
  const known = Object.keys(repos)
  for (const [cluster, settings] of Object.entries(clusters)) {
    for (const [index, repo] of (settings.repos ?? []).entries()) {
      if (known.includes(repo)) continue
      const near = nearestName(repo, known)
      context.addIssue({
        code: 'custom',
        path: ['clusters', cluster, 'repos', index],
        message: 'the name of a configured repo',
        params: near === undefined ? {} : { hint: `Did you mean "${near}"?` },
      })
    }
  }
}

/** `a-b` and `a_b` would share their environment variables, and people would mix them up. */
function checkTwins(section: string, names: readonly string[], context: z.core.$RefinementCtx): void {
  const seen = new Map<string, string>()
  for (const name of names) {
    const twin = seen.get(name.replaceAll('_', '-'))
    seen.set(name.replaceAll('_', '-'), name)
    if (twin === undefined) continue
    context.addIssue({
      code: 'custom',
      path: [section, name],
      message: 'names that differ in more than "-" and "_"',
      params: { found: `"${twin}" and "${name}"` },
    })
  }
}
