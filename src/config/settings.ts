/**
 * A setting is written once: `setting` and `optional` put type, default and explanation together, and the check, the
 * messages and docs/configuration.md are all made of that. This file knows how a schema is built of sections and keys;
 * which there are is said in server-schema.ts and site-schema.ts.
 */
import { z } from 'zod'
import type { ListMode } from './ini.ts'

/** What `meta()` of each key's schema has. */
export interface SettingMeta {
  /** In words, such as `duration`. */
  type: string
  /** As it would be written in the INI file; undefined where there is none. */
  default: string | undefined
  /** Without it the file is refused. */
  required: boolean
  /** Whether it can have several values. */
  list: boolean
  doc: string
}

/** One section of a schema, as the manual shows it. */
export interface SectionMeta {
  name: string
  doc: string
  keys: Map<string, SettingMeta>
  /** Set where any key may be set. */
  anyKey: ListMode | undefined
  /** Set where a key that begins with `/` is the beginning of a path: what it means. Its values are not in the schema. */
  pathKeys: string | undefined
}

/** A schema of whole files: sections, each with its keys. */
export type FileSchema = z.ZodObject<Record<string, z.ZodType>>

/** A key with a default. @param standard the default, as it would be written in the INI file */
export function setting<T extends z.ZodType<unknown, string>>(type: T, standard: string, doc: string) {
  return z.prefault(type, standard as z.input<T>).meta({ ...metaOf(type), default: standard, doc })
}

/** A list with a default. @param standard the default, as it would be written in the INI file */
export function listSetting<T extends z.ZodType<unknown, string[]>>(type: T, standard: string, doc: string) {
  return z.prefault(type, [standard] as z.input<T>).meta({ ...metaOf(type), default: standard, doc })
}

/** A key that can be left out, and is undefined then. */
export function optional<T extends z.ZodType>(type: T, doc: string) {
  return z.optional(type).meta({ ...metaOf(type), doc })
}

/** A list that can be left out, and is empty then. */
export function optionalList<T extends z.ZodType<unknown, string[]>>(type: T, doc: string) {
  return z.prefault(type, [] as never).meta({ ...metaOf(type), doc })
}

/** A section with the keys named. @param pathKeys what keys that begin with `/` mean, where there can be such */
export function section<T extends z.core.$ZodLooseShape>(doc: string, shape: T, pathKeys?: string) {
  return z
    .strictObject(shape)
    .prefault({} as never)
    .meta({ doc, pathKeys })
}

/** A section in which any key may be set. @param lists whether `key[] = value` makes a list there */
export function anySection<T extends z.ZodType>(doc: string, value: T, lists: ListMode) {
  return z.record(z.string(), value).prefault({}).meta({ doc, anyKey: lists })
}

const described = new WeakMap<FileSchema, ReadonlyMap<string, SectionMeta>>()

/** All sections of a schema in their order, with their keys. Made once for each: several readers ask, and each unknown key. */
export function describeSchema(schema: FileSchema): ReadonlyMap<string, SectionMeta> {
  const known = described.get(schema)
  if (known !== undefined) return known
  const sections = new Map<string, SectionMeta>()
  for (const [name, sectionSchema] of Object.entries(schema.shape)) {
    const meta = sectionSchema.meta()
    const keys = new Map<string, SettingMeta>()
    for (const [key, type] of Object.entries(shapeOf(sectionSchema))) keys.set(key, metaOf(type))
    const anyKey = meta?.anyKey as ListMode | undefined
    const pathKeys = meta?.pathKeys as string | undefined
    sections.set(name, { name, doc: String(meta?.doc ?? ''), keys, anyKey, pathKeys })
  }
  described.set(schema, sections)
  return sections
}

/** The keys of a section and their types; none where any key may be set. */
export function shapeOf(sectionSchema: z.ZodType): Record<string, z.ZodType> {
  const inner = sectionSchema instanceof z.ZodPrefault ? sectionSchema.unwrap() : sectionSchema
  return inner instanceof z.ZodObject ? (inner.shape as Record<string, z.ZodType>) : {}
}

/** The type of a key without its default, for a place where it can be left out without one. */
export function withoutDefault(type: z.ZodType): z.ZodType {
  const inner = type instanceof z.ZodPrefault ? type.unwrap() : type
  return z.optional(inner as z.ZodType).meta({ ...type.meta() })
}

function metaOf(type: z.ZodType): SettingMeta {
  const meta = type.meta()
  return {
    type: String(meta?.type ?? ''),
    default: meta?.default as string | undefined,
    required: meta?.required === true,
    list: meta?.list === true,
    doc: String(meta?.doc ?? ''),
  }
}
