/**
 * A configuration folder for one test, on the real disk, taken away after it.
 */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { loadServer } from '../../src/config/load-server.ts'
import type { ServerConfig } from '../../src/config/server-schema.ts'
import { makeFolder } from '../helpers/folder.ts'

/** What is to be at a path: a file's content, a link, or a folder. */
export type Entry = string | Buffer | { link: string } | 'folder'

export interface ConfigFolder {
  dir: string
  path(name: string): string
  /** Makes files, links and folders; folders above them are made where they are missing. */
  put(entries: Record<string, Entry>): void
  remove(name: string): void
  /** vhostel.ini as loaded. @throws where it has problems */
  server(): ServerConfig
}

/** `app/server.js` and `public/index.html` are always there, and an empty vhostel.ini and sites folder. */
export function configFolder(t: TestContext, entries: Record<string, Entry> = {}): ConfigFolder {
  const dir = makeFolder(t)
  const path = (name: string) => join(dir, name)
  const put = (wanted: Record<string, Entry>) => {
    for (const [name, entry] of Object.entries(wanted)) putEntry(path(name), entry)
  }
  put({ 'vhostel.ini': '', 'sites-enabled': 'folder', 'app/server.js': '', 'public/index.html': '', ...entries })
  return {
    dir,
    path,
    put,
    remove: (name) => rmSync(path(name), { recursive: true }),
    server: () => {
      const { config, problems } = loadServer(path('vhostel.ini'))
      if (config === undefined) throw new Error(JSON.stringify(problems))
      return config
    },
  }
}

function putEntry(path: string, entry: Entry): void {
  mkdirSync(dirname(path), { recursive: true })
  if (entry === 'folder') mkdirSync(path, { recursive: true })
  else if (typeof entry === 'string' || Buffer.isBuffer(entry)) writeFileSync(path, entry)
  else {
    rmSync(path, { force: true })
    symlinkSync(entry.link, path)
  }
}

/** A site's file that is good in a ConfigFolder, if it is in sites-enabled or another folder beside app/. */
export function siteText(domains: string, more = ''): string {
  return `[site]\ndomains = ${domains}\nroot = ../app\nmodule = server.js\n${more}`
}
