/**
 * What people type wrong in their first file, and the one thing that each is told.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadSite } from '../../src/config/load-site.ts'
import { renderProblem } from '../../src/config/problems.ts'
import { configFolder } from './config-folder.ts'

const STATIC = '[site]\ndomains = a.test\nroot = ../public\n'
const MODULE = '[site]\ndomains = a.test\nroot = ../app\nmodule = server.js\n'
const LONG = 'x'.repeat(300)

for (const [what, text, expected] of [
  [
    'a quote that is not closed',
    '[site]\ndomains = "a.test\nroot = ../public\n',
    [
      `:2: [site] domains: '"a.test' begins with a quote but does not end with it: quote the whole value, and put a comment on a line of its own`,
    ],
  ],
  [
    'a ; at the ends of lines',
    '[site]\ndomains = a.test;\nroot = ../public;\n',
    [
      ':2: [site] domains: "a.test;" ends with a ";": take it away',
      ':3: [site] root: "../public;" ends with a ";": take it away',
    ],
  ],
  [
    'a ; behind the module',
    '[site]\ndomains = a.test\nroot = ../app\nmodule = server.js;\n',
    [':4: [site] module: "server.js;" ends with a ";": take it away'],
  ],
  [
    'quotes of a word processor',
    '[site]\ndomains = “a.test”\nroot = ../public\n',
    [
      ':2: [site] domains: "“a.test”" is in the quotes of a word processor: write "a.test", or "“a.test”" where they belong to it',
    ],
  ],
  ['a colon for an =', `${STATIC}[headers]\nX-A: b\n`, [':5: [headers]: "X-A: b" has no "=": write "X-A = b"']],
  [
    'a header that is indented',
    '  [site]\n  domains = a.test\n  root = ../public\n',
    [':1: take the blanks in front of "[site]" away'],
  ],
  [
    'no section at all',
    'domains = a.test\nroot = ../public\n',
    [':1: domains: stands before any section: put a line such as [site] above it'],
  ],
  [
    'a home folder',
    '[site]\ndomains = a.test\nroot = ~/www\n',
    [':3: [site] root: "~/www": only a shell knows ~: write the whole path'],
  ],
  [
    'characters that a terminal would obey, and a name without an end',
    `[site]\ndomains = a\u001b[31m.test, ~^\u001b$, ${LONG}\nroot = ../public\n`,
    [
      /^:2: \[site\] domains: "a\?\[31m\.test" is not a domain: a name has labels/,
      ':2: [site] domains: "~^?$" cannot be used as a regular expression: a host has no control characters',
      /^:2: \[site\] domains: "x{79}…" is not a domain: /,
    ],
  ],
  [
    'a brace that is not closed',
    `${MODULE}[env]\nA = \${HOME/data\nB = a$ $1 $$\{\n`,
    [/^:6: \[env\] A: \$\{HOME\/data is not a variable \(such as \$\{NAME\}\): write \$\$ for a dollar sign$/],
  ],
  [
    'a variable in front of a program',
    '[site]\ndomains = a.test\nroot = ../app\ncommand = PORT=3000 node server.js\n',
    [
      ':4: [site] command: "PORT=3000 node server.js": no shell runs, so PORT is set in [env] and not in front of the program',
    ],
  ],
  [
    'a folder without its slash',
    `${STATIC}[static]\npictures = pictures\n`,
    [':5: [static] pictures: the key is not known; a path begins with a slash: /pictures'],
  ],
  [
    'names without an end',
    `${STATIC}[${LONG}]\n[site2]\n${LONG} = 1\n`,
    [
      `:4: [${'x'.repeat(79)}…]: the section is not known`,
      ':5: [site2]: the section is not known; did you mean [site]?',
    ],
  ],
  [
    'misspelt keys that a site cannot be without',
    '[site]\ndomain = a.test\nrot = ../public\n',
    [
      ':2: [site] domain: the key is not known; did you mean domains?',
      ':3: [site] rot: the key is not known; did you mean root?',
    ],
  ],
  [
    'a misspelt section',
    '[SITE]\nDomains = a.test\nroot = ../public\n',
    [':1: [SITE]: the section is not known; did you mean [site]?'],
  ],
  [
    'a key in the wrong section',
    '[site]\nroot = ../public\n[limits]\ndomains = a.test\n',
    [':4: [limits] domains: the key is not known here; it belongs in [site]'],
  ],
  [
    'names that every object of JavaScript has',
    `${STATIC}constructor = 1\ntoString = 1\n[valueOf]\nx = 1\n`,
    [
      ':4: [site] constructor: the key is not known',
      ':5: [site] toString: the key is not known',
      ':6: [valueOf]: the section is not known',
    ],
  ],
  [
    'a misspelt key that tells the kind',
    '[site]\ndomains = a.test\nupstrem = http://127.0.0.1:3000\n',
    [':3: [site] upstrem: the key is not known; did you mean upstream?'],
  ],
  [
    'a misspelt command, and strip_path for misspelt paths',
    '[site]\ndomains = a.test\ncomand = app\nroot = ../public\n[proxy]\npath = /api\nstrip_path = yes\n',
    [
      ':3: [site] comand: the key is not known; did you mean command?',
      ':6: [proxy] path: the key is not known; did you mean paths?',
    ],
  ],
  [
    'a misspelt target of a redirect',
    '[site]\ndomains = a.test\n[redirect]\ntoo = b.test\n',
    [':4: [redirect] too: the key is not known; did you mean to?'],
  ],
  [
    'half a certificate under the name that another server has for it',
    `${STATIC}cert = a.pem\nkey = b.pem\n`,
    [':4: [site] cert: the key is not known; in vhostel: certificate'],
  ],
  [
    'the other half, misspelt',
    `${STATIC}certificate = a.pem\nkeys = b.pem\n`,
    [':5: [site] keys: the key is not known; did you mean key?'],
  ],
  [
    'a misspelt user, with a group',
    `${STATIC.replace('root', 'command = app\nroot')}usr = www-data\ngroup = www-data\n`,
    [':5: [site] usr: the key is not known; did you mean user?'],
  ],
  [
    'lines of nginx',
    '[site]\nserver_name a.test;\nlisten 80;\nroot /var/www;\nproxy_pass http://127.0.0.1:3000;\nreturn 301 https://b.test/?a=b;\nlocation / {\n',
    [
      ':2: [site]: "server_name a.test;" has no "=" behind server_name, and the key is not known; in vhostel: domains',
      ':3: [site]: "listen 80;" has no "=" behind listen, and the key is not known here; it belongs in [server] of vhostel.ini',
      ':4: [site]: "root /var/www;" has no "=" behind root: write "root = /var/www"',
      ':5: [site]: "proxy_pass http://127.0.0.1:3000;" has no "=" behind proxy_pass, and the key is not known; in vhostel: upstream',
      ':6: [site]: "return 301 https://b.test/?a=b;" has no "=" behind return, and the key is not known; in vhostel: [redirect] to, or canonical for one name of several',
      ':7: [site]: "location / {" has no "=" behind location, and the key is not known; in vhostel: root, or [static] /path = folder for files at a path',
    ],
  ],
  [
    'keys without an =, and a colon for one of ours',
    '[site]\ndomains a.test b.test\nroot: ../public\n',
    [
      ':2: [site]: "domains a.test b.test" has no "=" behind domains: write "domains = a.test b.test"',
      ':3: [site]: "root: ../public" has no "=" behind root: write "root = ../public"',
    ],
  ],
  [
    'a word of nginx among names that are free',
    `${STATIC}[headers]\nadd_header X-A b;\n`,
    [/^:5: \[headers\]: "add_header X-A b;" has no "=": a line is/],
  ],
  [
    "nginx's catch-all",
    '[site]\ndomains = _\nroot = ../public\n',
    [':2: [site] domains: "_" is not a domain: name this site as [server] default_site to have all other hosts'],
  ],
  [
    'a command line for a module',
    '[site]\ndomains = a.test\nroot = ../app\nmodule = npm start\n',
    [
      ':4: [site] module: "npm start" does not exist (looked for DIR/app/npm start); a module is one file: write command = npm start to start a program',
    ],
  ],
  [
    'upstreams as nginx has them',
    '[site]\ndomains = a.test\nupstream = localhost:3001, http://127.0.0.1:3002 weight=3, fastcgi://unix:/a.sock\n',
    [
      ':3: [site] upstream: "localhost:3001" is not an upstream: write http://localhost:3001',
      /^:3: .*"weight=3" is not an upstream: of several upstreams, the least busy one gets the next request/,
      /^:3: .*"fastcgi:.*" is not an upstream: only HTTP\/1\.1 is spoken to upstreams$/,
    ],
  ],
  [
    'a path in [proxy]',
    '[site]\ndomains = a.test\nupstream = http://localhost\n[proxy]\n/api = http://localhost:81\n',
    [
      ':5: [proxy] /api: the key is not known; write paths = /PATH, for the one server that [site] upstream or command names',
    ],
  ],
  [
    'a path in [redirect]',
    '[site]\ndomains = a.test\n[redirect]\nto = b.test\n/old = /new\n',
    [
      ':5: [redirect] /old: the key is not known: a redirect is for all paths of a site; single ones are up to its module or upstream',
    ],
  ],
  [
    'deny all',
    `${STATIC}[door]\ndeny = all\n`,
    [':5: [door] deny: "all" is not a network: without allow everybody is let in, and with it nobody else'],
  ],
  [
    'logs as nginx has them',
    `${STATIC}[log]\naccess = off\nerror = /var/log/a.log warn\n`,
    [
      ':5: [log] access: "off" is not a file: without the line there is no such log',
      ':6: [log] error: "/var/log/a.log warn" is not a file: take "warn" away; [log] format says how lines are written',
    ],
  ],
  ['what is no INI file', 'server {\n  listen 80;\n}\n', [/^:1: "server \{" has no "="/, /^:2: /, /^:3: /]],
] as const) {
  test(`${what}: told once, with the cure`, (t) => {
    const folder = configFolder(t, { 'sites-enabled/a.ini': text })

    const { problems } = loadSite(folder.path('sites-enabled/a.ini'), folder.server())

    const told = problems.map((one) =>
      renderProblem(one, folder.dir).replace('sites-enabled/a.ini', '').replaceAll(folder.dir, 'DIR'),
    )
    assert.equal(told.length, expected.length, told.join('\n'))
    for (const [index, line] of expected.entries()) {
      if (typeof line === 'string') assert.equal(told[index], line)
      else assert.match(told[index] ?? '', line)
    }
  })
}

test('what is wrong in a file that is named comes after what is wrong in the file that names it', (t) => {
  const folder = configFolder(t, {
    'sites-enabled/a.ini': `${STATIC}[door]\nauth = ../passwords\nrate = often\n`,
    passwords: 'ada:secret\n',
  })

  const { problems } = loadSite(folder.path('sites-enabled/a.ini'), folder.server())

  assert.deepEqual(
    problems.map(({ file, line }) => [file, line]),
    [
      [folder.path('sites-enabled/a.ini'), 6],
      [folder.path('passwords'), 1],
    ],
  )
})

test('a file whose name a terminal would obey is told without', (t) => {
  const folder = configFolder(t, { 'sites-enabled/a\u001b[2Jb.ini': STATIC })

  const { problems } = loadSite(folder.path('sites-enabled/a\u001b[2Jb.ini'), folder.server())

  const told = problems.map((one) => renderProblem(one, folder.dir))
  assert.match(told.join('\n'), /^sites-enabled\/a\?\[2Jb\.ini: "a\?\[2Jb" cannot be the name of a site: /)
})

test('an error page that is not there is warned of, and takes nothing away', (t) => {
  const folder = configFolder(t, { 'sites-enabled/a.ini': `${STATIC}[errors]\n404 = /404.html\n5xx = index.html\n` })

  const { problems, warnings } = loadSite(folder.path('sites-enabled/a.ini'), folder.server())

  assert.deepEqual(problems, [])
  assert.deepEqual(
    warnings.map((one) => renderProblem(one, folder.dir)),
    ['sites-enabled/a.ini:5: [errors] 404: /404.html does not exist: the line counts for nothing'],
  )
})

test('a variable in a header is warned of, for there are none', (t) => {
  const folder = configFolder(t, {
    'sites-enabled/a.ini': `${STATIC}[headers]\nX-A = $5 a month\nX-B = a \${remote_addr}\nX-C = $host\n`,
  })

  const { problems, warnings } = loadSite(folder.path('sites-enabled/a.ini'), folder.server())

  assert.deepEqual(problems, [])
  assert.deepEqual(
    warnings.map((one) => renderProblem(one, folder.dir)),
    [
      ['6: [headers] X-B', `\${remote_addr}`],
      ['7: [headers] X-C', '$host'],
    ].map(
      ([place, variable]) =>
        `sites-enabled/a.ini:${place}: "${variable}" is sent as it is written, for headers have no variables here: what ` +
        'differs from answer to answer is set by the code of the site',
    ),
  )
})

for (const [what, text] of [
  ['CRLF', '[site]\r\ndomains = a.test\r\nroot = ../public\r\n'],
  ['a BOM', '\ufeff[site]\ndomains = a.test\nroot = ../public\n'],
  ['no blanks around =', '[site]\ndomains=a.test\nroot=../public\n'],
  ['many blanks', '[ site ]  \n\tdomains   =   a.test  \n  root=  ../public\n'],
  ['comments of both kinds', '# a\n; b\n[site]\ndomains = a.test ; c\n  # d\nroot = ../public # e\n'],
  [
    'a long line',
    `[site]\ndomains = a.test ${Array.from({ length: 2000 }, (_, n) => `a${n}.test`).join(' ')}\nroot = ../public\n`,
  ],
] as const) {
  test(`${what}: no problem`, (t) => {
    const folder = configFolder(t, { 'sites-enabled/a.ini': text })

    const { problems, config } = loadSite(folder.path('sites-enabled/a.ini'), folder.server())

    assert.deepEqual(problems, [])
    assert.equal(config?.domains[0]?.source, 'a.test')
  })
}
