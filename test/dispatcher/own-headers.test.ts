/** What a site's own headers make of its answers, over real sockets. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OwnHeader } from '../../src/config/site-doors.ts'
import { DoorKeeper, doorSteps } from '../../src/dispatcher/doors.ts'
import { PLAIN_FOLDER } from '../../src/dispatcher/static-folder.ts'
import { mountStep } from '../../src/dispatcher/static-mounts.ts'
import { through } from '../../src/dispatcher/visit.ts'
import { send } from '../helpers/box.ts'
import { makeFolder } from '../helpers/folder.ts'
import { startFront } from '../helpers/tls-front.ts'

test('a Vary of the settings does not hide that an answer is compressed', async (t) => {
  const root = makeFolder(t, { 'a.js': 'plain', 'a.js.br': 'coded', 'b.js': 'plain' })
  const doors = { allow: undefined, deny: undefined, rate: undefined, auth: undefined, errors: undefined }
  const headers: OwnHeader[] = [['Vary', 'Origin']]
  const steps = [...doorSteps('one', { ...doors, headers }, new DoorKeeper()), mountStep('', { ...PLAIN_FOLDER, root })]
  const answer = through(steps, ({ res }) => void res.end())
  const { port } = await startFront(t, { one: { domains: 'one.test', answer } })
  const varyOf = async (path: string): Promise<string | undefined> => {
    const options = { host: '127.0.0.1', port, path, agent: false as const }
    return (await send({ ...options, headers: { host: 'one.test', 'accept-encoding': 'br' } })).headers.vary
  }

  assert.equal(await varyOf('/a.js'), 'Origin, Accept-Encoding')
  assert.equal(await varyOf('/b.js'), 'Origin')
})
