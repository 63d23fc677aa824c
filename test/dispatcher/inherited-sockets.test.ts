import assert from 'node:assert/strict'
import { closeSync, fstatSync, openSync } from 'node:fs'
import { endianness } from 'node:os'
import { test } from 'node:test'
import { InheritedSockets, tcpListener, unixListener } from '../../src/dispatcher/inherited-sockets.ts'

const REST = '00000000:00000000 00:00000000 00000000     0        0 24242 1 ffff 100 0 0 10 0'

test('lines of /proc/net/tcp and tcp6 tell the addresses of listening sockets', { skip: endianness() !== 'LE' }, () => {
  const lines: [string, string][] = [
    [`   0: 0100007F:1F90 00000000:0000 0A ${REST}`, '127.0.0.1:8080'],
    [`   1: 00000000:0050 00000000:0000 0A ${REST}`, '0.0.0.0:80'],
    [`   2: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A ${REST}`, '[::]:443'],
    [`   3: 00000000000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A ${REST}`, '[::1]:443'],
    [
      `   4: B80D0120000000000000000042000000:01BB 00000000000000000000000000000000:0000 0A ${REST}`,
      '[2001:db8::42]:443',
    ],
  ]
  for (const [line, address] of lines) assert.deepEqual(tcpListener(line), [['24242', address]], line)
})

test('open connections and empty lines are no listening sockets', () => {
  assert.deepEqual(tcpListener(`   0: 0100007F:1F90 0100007F:9C40 01 ${REST}`), [])
  assert.deepEqual(tcpListener(''), [])
  assert.deepEqual(unixListener(''), [])
  assert.deepEqual(unixListener('ffff9d: 00000003 00000000 00000000 0001 03 31415 /run/a.sock'), [])
  assert.deepEqual(unixListener('ffff9d: 00000002 00000000 00010000 0002 01 31415 /run/datagrams'), [])
  assert.deepEqual(unixListener('ffff9d: 00000002 00000000 00010000 0001 01 31415'), [])
})

test('lines of /proc/net/unix tell the paths of listening sockets', () => {
  assert.deepEqual(unixListener('ffff9d: 00000002 00000000 00010000 0001 01 31415 /run/with blank.sock'), [
    ['31415', 'unix:/run/with blank.sock'],
  ])
})

test('what is meant for another process is not taken, and no longer spoken of', () => {
  const env: NodeJS.ProcessEnv = {
    LISTEN_PID: String(process.pid + 1),
    LISTEN_FDS: '1',
    LISTEN_FDNAMES: 'web',
    PATH: '/bin',
  }

  const sockets = InheritedSockets.take(env)

  assert.deepEqual(env, { PATH: '/bin' })
  assert.deepEqual(sockets.closeOthers([]), [])
})

test('what no listen names, however it writes an address, is closed', () => {
  const [used, unused] = [openSync('/dev/null', 'r'), openSync('/dev/null', 'r')]
  const sockets = new InheritedSockets([
    { fd: used, address: '[2001:db8::42]:443' },
    { fd: unused, address: '0.0.0.0:80' },
  ])

  const closed = sockets.closeOthers([{ kind: 'tcp', host: '2001:DB8:0::42', port: 443 }])

  assert.deepEqual(closed, [{ fd: unused, address: '0.0.0.0:80' }])
  assert.throws(() => closeSync(unused), { code: 'EBADF' })
  closeSync(used)
})

test('of two sockets of one address the second is closed: who comes over it would wait for good', () => {
  const [used, second] = [openSync('/dev/null', 'r'), openSync('/dev/null', 'r')]
  const sockets = new InheritedSockets([
    { fd: used, address: '127.0.0.1:80' },
    { fd: second, address: '127.0.0.1:80' },
  ])

  const closed = sockets.closeOthers([{ kind: 'tcp', host: '127.0.0.1', port: 80 }])

  assert.deepEqual(closed, [{ fd: second, address: `127.0.0.1:80, once more (descriptor ${second})` }])
  assert.throws(() => closeSync(second), { code: 'EBADF' })
  closeSync(used)
})

test('what is no listening socket is told and left alone: it may be one of the own descriptors', () => {
  const own = fstatSync(3)

  const sockets = InheritedSockets.take({ LISTEN_PID: String(process.pid), LISTEN_FDS: '1' })

  assert.deepEqual(
    sockets.closeOthers([]).map(({ address }) => address),
    ['descriptor 3, which is no listening socket'],
  )
  assert.equal(fstatSync(3).ino, own.ino)
})

test('where the kernel has no IPv6, the socket of all interfaces is that of IPv4', () => {
  const ofPort = { fd: 1_000_000, address: '0.0.0.0:80' }
  const all = { kind: 'tcp', host: '::', port: 80 } as const

  assert.deepEqual(new InheritedSockets([ofPort]).closeOthers([all]), [])
  const both = new InheritedSockets([ofPort, { fd: 1_000_001, address: '[::]:80' }])
  assert.deepEqual(both.closeOthers([all]), [ofPort])
})
