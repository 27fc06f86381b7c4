/** FirstNormalObjectId in access/transam.h: objects and files below came with initdb. */
export const firstNormalOid = 16_384
