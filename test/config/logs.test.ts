import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadAll } from '../../src/config/load-all.ts'
import { loadServer } from '../../src/config/load-server.ts'
import { renderProblem, renderProblems } from '../../src/config/problems.ts'
import { configFolder } from './config-folder.ts'

test('what is wrong about logs is told with its cure', async (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '[access]\nfile = x\n',
    'logging.ini': '[access]\nformat = jsn\nfile =\nlevel = info\n[files]\nrotate = big\nkeep = 0\n',
    'www/index.html': '',
    'sites-enabled/a.ini': '[site]\ndomains = a.test\nroot = ../www\n[log]\nacces = x\nformat = text\n',
    'sites-enabled/b.ini':
      '[site]\ndomains = b.test\nroot = ../www\n[log]\naccess = ../www/logs/b.log\nerror = ../www\n',
    'sites-enabled/c.ini': '[site]\ndomains = c.test\nroot = ../www\n[log]\naccess =\n[files]\nkeep = 1\n',
  })

  const { problems, server } = await loadAll(folder.path('vhostel.ini'), {})

  assert.deepEqual(renderProblems(problems, server.dir).split('\n'), [
    'vhostel.ini:1: [access]: the section is not known here; it belongs in logging.ini',
    'logging.ini:2: [access] format: "jsn" is not one of timed, vhost_timed, combined, vhost_combined, json; did you mean json?',
    'logging.ini:3: [access] file: is empty: write a path, or take the line away',
    'logging.ini:4: [access] level: the key is not known here; it belongs in [log]',
    'logging.ini:6: [files] rotate: "big" is not a size (such as 512KB, 10MB, 1GB)',
    'logging.ini:7: [files] keep: 0 is out of range: 1 to 1000',
    'sites-enabled/a.ini:5: [log] acces: the key is not known; did you mean access?',
    'sites-enabled/a.ini:6: [log] format: "text" is not one of timed, vhost_timed, combined, vhost_combined, json',
    `sites-enabled/b.ini:5: [log] access: ${folder.path('www/logs/b.log')} is in the folder that the site serves (${folder.path('www')}): name one outside of it`,
    `sites-enabled/b.ini:6: [log] error: "${folder.path('www')}" is a folder: name the file in it (such as ${folder.path('www/a.log')})`,
    'sites-enabled/c.ini:5: [log] access: is empty: write a path, or take the line away',
    'sites-enabled/c.ini:6: [files]: the section is not known here; it belongs in logging.ini',
  ])
})

test('a log that is a folder is found before the server starts', (t) => {
  const folder = configFolder(t, {
    'logging.ini': '[log]\nfile = logs\n[access]\nfile = .\n',
    'logs/a.log': '',
  })

  const { problems } = loadServer(folder.path('vhostel.ini'))

  assert.deepEqual(
    problems.map((problem) => renderProblem(problem, folder.dir)),
    [
      `logging.ini:2: [log] file: "${folder.path('logs')}" is a folder: name the file in it (such as ${folder.path('logs/a.log')})`,
      `logging.ini:4: [access] file: "${folder.dir}" is a folder: name the file in it (such as ${folder.path('a.log')})`,
    ],
  )
})

test("paths of a site's logs start where its file really is", async (t) => {
  const folder = configFolder(t, {
    'vhostel.ini': '',
    'www/index.html': '',
    'elsewhere/a.ini':
      '[site]\ndomains = a.test\nroot = ../www\n[log]\naccess = a.log\nerror = /var/log/a.error\nformat = json\n',
    'sites-enabled/a.ini': { link: '../elsewhere/a.ini' },
  })

  const { table } = await loadAll(folder.path('vhostel.ini'), {})

  assert.deepEqual(table.sites.get('a')?.config?.log, {
    access: folder.path('elsewhere/a.log'),
    error: '/var/log/a.error',
    format: 'json',
  })
})
