/**
 * Relative paths of sites lead from their own working directories.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { writeSite } from '../helpers/site-files.ts'
import { startThread } from '../helpers/thread-driver.ts'

test('files are found from the folder of the site, in each way of asking', async (t) => {
  const thread = await startThread(t)
  const text = `
    import fs, { readFileSync, createReadStream } from 'node:fs'
    import { readFile, writeFile, mkdtemp } from 'node:fs/promises'
    import { text } from 'node:stream/consumers'
    import { promisify } from 'node:util'
    export default async (req, res) => {
      const seen = [
        readFileSync('data.txt', 'utf8'),
        await readFile('./data.txt', 'utf8'),
        await promisify(fs.readFile)('sub/../data.txt', 'utf8'),
        await text(createReadStream('data.txt')),
        fs.existsSync('data.txt'), fs.existsSync('nope.txt'), await promisify(fs.exists)('data.txt'),
        fs.realpathSync.native('.'), fs.statSync('sub').isDirectory(),
      ]
      await writeFile('written.txt', 'written')
      fs.renameSync('written.txt', 'renamed.txt')
      fs.symlinkSync('data.txt', 'link.txt')
      seen.push(fs.readlinkSync('link.txt'), (await mkdtemp('sub/')).includes('sub/'))
      process.chdir('sub')
      seen.push(readFileSync('other.txt', 'utf8'), fs.existsSync(''))
      process.chdir('..')
      try { readFileSync('nope.txt') } catch (error) { seen.push(error.code) }
      res.end(JSON.stringify(seen))
    }`
  const files = { 'main.mjs': text, 'data.txt': 'data', 'sub/other.txt': 'other' }
  const [one, two] = [writeSite(t, files), writeSite(t, { ...files, 'data.txt': 'data of two' })]
  await thread.loadWell({ generation: 1, module: join(one, 'main.mjs') })
  await thread.loadWell({ generation: 2, module: join(two, 'main.mjs') })

  const [first, second] = await Promise.all([thread.get(1), thread.get(2)])

  const rest = ['data.txt', true, 'other', false, 'ENOENT']
  const seenBy = (data: string, folder: string) => [data, data, data, data, true, false, true, folder, true, ...rest]
  assert.deepEqual(first.json, seenBy('data', one))
  assert.deepEqual(second.json, seenBy('data of two', two))
  assert.equal(readFileSync(join(one, 'renamed.txt'), 'utf8'), 'written')
})

test('processes of a site start in its folder, with its environment', async (t) => {
  const thread = await startThread(t)
  const text = `
    const { spawnSync, execSync, execFileSync, execFile, exec } = require('child_process')
    const { promisify } = require('util')
    module.exports = async (req, res) => {
      const seen = [
        String(execSync('pwd')), String(execFileSync('pwd')), String(spawnSync('pwd').stdout), String(spawnSync('pwd', [], { cwd: 'sub' }).stdout),
        (await promisify(execFile)('pwd')).stdout, (await promisify(exec)('echo $NAME')).stdout, String(execSync('pwd', { cwd: '/' })),
      ]
      res.end(JSON.stringify(seen.map((line) => line.trim())))
    }`
  const folder = writeSite(t, { 'main.cjs': text, 'sub/x': '' })
  await thread.loadWell({ generation: 1, module: join(folder, 'main.cjs'), env: { NAME: 'own' } })

  const reply = await thread.get(1)

  assert.deepEqual(reply.json, [folder, folder, folder, join(folder, 'sub'), folder, 'own', '/'])
})
