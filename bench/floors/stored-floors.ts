import { z } from 'zod'

const floorsSchema = z.strictObject({
  machine: z.string(),
  node: z.string(),
  floors: z
    .array(
      z.strictObject({
        name: z.string(),
        per: z.enum(['GB', 'million files']),
        cpuSeconds: z.number().positive(),
      }),
    )
    .readonly(),
})

/** What was measured, where, and when it was accepted as what there is to hold. */
export type Floors = z.infer<typeof floorsSchema>
export type Floor = Readonly<Floors['floors'][number]>

export function readFloors(text: string): Floors {
  return floorsSchema.parse(JSON.parse(text))
}
