// What `npx peerjs --port 9000 --path /signal` runs, with its arguments: a site's INI has none to give.
process.argv.push('--port', '9000', '--path', '/signal')
require('../../node_modules/peer/dist/bin/peerjs.js')
