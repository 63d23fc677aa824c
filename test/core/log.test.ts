import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openLog } from '../../src/core/log.ts'
import { LogFiles } from '../../src/core/log-files.ts'

test('a line of text in a file has its date', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'vh-log-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const file = join(dir, 'server.log')
  const files = new LogFiles({ rotateBytes: 0, keep: 1 })
  const log = openLog({ file, format: 'text', level: 'info' }, files, () => {})

  log.warn({ site: 'blog', generation: 3 }, 'generation is live')
  log.debug('not told')
  await files.close()

  assert.match(
    readFileSync(file, 'utf8'),
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z {2}warn {3}blog {2}generation is live {2}generation=3\n$/,
  )
})
