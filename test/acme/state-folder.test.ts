import assert from 'node:assert/strict'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { test } from 'node:test'
import { pino } from 'pino'
import { covers, readCertificate } from '../../src/acme/certificate.ts'
import { StateFolder } from '../../src/acme/state-folder.ts'
import { makePair } from '../helpers/certificates.ts'

const DIRECTORY = 'https://ca.test/dir'
const log = pino({ level: 'silent' })

async function openFolder(t: TestContext): Promise<{ state: string; folder: StateFolder }> {
  const state = join(mkdtempSync(join(tmpdir(), 'vhostel-state-')), 'state')
  t.after(() => rmSync(join(state, '..'), { recursive: true, force: true }))
  return { state, folder: await StateFolder.open(state, DIRECTORY, log) }
}

/** Permissions of everything below a folder, such as `600`. */
function modesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true }).map((name) => {
    const stats = statSync(join(dir, String(name)))
    return `${stats.isDirectory() ? 'folder' : 'file'} ${(stats.mode & 0o777).toString(8)}`
  })
}

test('what is kept is there after a restart, and nobody else can read it', async (t) => {
  const { state, folder } = await openFolder(t)
  const pair = makePair(['a.test', 'www.a.test'])
  const attempts = { failures: 2, lastAt: 5, notBefore: 7, reasons: ['no'], names: ['a.test'] }
  const [account, same] = await Promise.all([folder.account('me@example.com'), folder.account('me@example.com')])
  await folder.saveAccount('https://ca.test/account/1', 'me@example.com')
  await folder.saveCertificate('a', pair)
  await folder.saveAttempts('a', attempts)
  await folder.saveAttempts(undefined, attempts)

  const again = await StateFolder.open(state, DIRECTORY, log)
  const certificate = await again.certificate('a')

  assert.deepEqual(same, account)
  assert.deepEqual(await again.account('me@example.com'), { key: account.key, url: 'https://ca.test/account/1' })
  assert.deepEqual(await again.account('other@example.com'), { key: account.key, url: undefined })
  assert.deepEqual(certificate?.pair.cert.trim(), pair.cert.trim())
  assert.deepEqual(certificate?.pair.key.trim(), pair.key.trim())
  assert.deepEqual(certificate?.names, ['a.test', 'www.a.test'])
  assert.deepEqual(await again.attempts('a'), attempts)
  assert.deepEqual(await again.attempts(undefined), attempts)
  assert.deepEqual([...new Set(modesBelow(state))].sort(), ['file 600', 'folder 700'])
  assert.equal(statSync(state).mode & 0o777, 0o700)
})

test('another ACME server has its own account and certificates', async (t) => {
  const { state, folder } = await openFolder(t)
  const { key } = await folder.account(undefined)
  await folder.saveCertificate('a', makePair(['a.test']))

  const other = await StateFolder.open(state, 'https://ca.test/staging', log)

  assert.notEqual((await other.account(undefined)).key, key)
  assert.equal(await other.certificate('a'), undefined)
})

test('garbage is put aside, and is as if it were not there', async (t) => {
  const { folder } = await openFolder(t)
  const [good, other] = [makePair(['a.test']), makePair(['a.test'])]
  const whole = `${good.key}${good.cert}`
  const garbage: Record<string, string | Buffer> = {
    empty: '',
    half: whole.slice(0, whole.length / 2),
    cut: whole.slice(0, -100),
    binary: Buffer.from([0, 255, 1, 2]),
    stranger: `${other.key}${good.cert}`,
    keyless: good.cert,
    huge: Buffer.alloc(2 * 1024 ** 2, 'x'),
  }
  for (const [name, content] of Object.entries(garbage)) writeFileSync(join(folder.dir, `sites/${name}.pem`), content)
  mkdirSync(join(folder.dir, 'sites/folder.pem'))
  for (const [name, text] of [
    ['a', '{'],
    ['b', 'null'],
    ['c', '{"failures":-1}'],
    ['d', '[]'],
  ] as const) {
    writeFileSync(join(folder.dir, `sites/${name}.json`), text)
  }
  writeFileSync(join(folder.dir, 'account.pem'), 'no key')

  for (const name of [...Object.keys(garbage), 'folder']) assert.equal(await folder.certificate(name), undefined, name)
  for (const name of ['a', 'b', 'c', 'd']) assert.equal((await folder.attempts(name)).failures, 0, name)
  writeFileSync(join(folder.dir, 'account.json'), `{"url":"https://ca.test/account/lost","key":"of the lost one"}`)
  const account = await folder.account(undefined)

  assert.equal(account.url, undefined)
  assert.deepEqual(await folder.account(undefined), account)
  assert.equal(readFileSync(join(folder.dir, 'account.pem.broken'), 'utf8'), 'no key')
  const left = readdirSync(join(folder.dir, 'sites')).filter((name) => !name.endsWith('.broken'))
  assert.deepEqual(left, [])
})

test('a file that was being written when everything ended is taken away, and the one before is whole', async (t) => {
  const { state, folder } = await openFolder(t)
  await folder.saveCertificate('a', makePair(['a.test']))
  const old = Date.now() / 1000 - 120
  for (const name of ['sites/.a.pem.1.tmp', '.account.pem.1.tmp']) {
    writeFileSync(join(folder.dir, name), 'half of a')
    utimesSync(join(folder.dir, name), old, old)
  }

  const again = await StateFolder.open(state, DIRECTORY, log)

  assert.notEqual(await again.certificate('a'), undefined)
  assert.deepEqual(readdirSync(join(folder.dir, 'sites')), ['a.pem'])
})

test('a write does not go through a link that lies in its way', async (t) => {
  const { state, folder } = await openFolder(t)
  const victim = join(state, '../victim')
  writeFileSync(victim, 'untouched')
  for (let number = 1; number < 4; number++)
    symlinkSync(victim, join(folder.dir, `sites/.a.json.${process.pid}.${number}.tmp`))
  symlinkSync(victim, join(folder.dir, 'sites/a.json'))

  await folder.saveAttempts('a', { failures: 1, lastAt: 1, notBefore: 0, reasons: [], names: [] })

  assert.equal(readFileSync(victim, 'utf8'), 'untouched')
  assert.equal((await folder.attempts('a')).failures, 1)
})

test('certificates of sites that are gone are kept while they are good, and no longer', async (t) => {
  const { folder } = await openFolder(t)
  const attempts = { failures: 1, lastAt: 1, notBefore: 0, reasons: [], names: [] }
  for (const site of ['here', 'good', 'bare']) await folder.saveAttempts(site, attempts)
  for (const site of ['here', 'good']) await folder.saveCertificate(site, makePair([`${site}.test`]))
  for (const name of ['here.pem.broken', 'bare.pem', '.here.pem.4711.1.tmp'])
    writeFileSync(join(folder.dir, 'sites', name), '')
  const others = ['.here.pem.4711.1.tmp', 'here.pem.broken']

  await folder.prune((site) => site === 'here', Date.now())
  const kept = readdirSync(join(folder.dir, 'sites')).sort()
  await folder.prune((site) => site === 'here', Date.now() + 91 * 86_400_000)

  assert.deepEqual(kept, [...others, 'good.json', 'good.pem', 'here.json', 'here.pem'].sort())
  assert.deepEqual(readdirSync(join(folder.dir, 'sites')).sort(), [...others, 'here.json', 'here.pem'].sort())
})

test('a certificate says which names it is for, and a key of another is refused', () => {
  const [pair, other] = [makePair(['A.test', 'b.test']), makePair(['a.test'])]
  const certificate = readCertificate(pair)

  assert.equal(covers(certificate, ['a.test']), true)
  assert.equal(covers(certificate, ['b.test', 'a.test']), true)
  assert.equal(covers(certificate, ['a.test', 'c.test']), false)
  assert.throws(() => readCertificate({ cert: pair.cert, key: other.key }), /the key is not the key of the certificate/)
})
