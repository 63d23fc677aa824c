// What `npx peerjs --port 9000 --path /signal` runs, with its arguments, as a file of the site's own may give them too (`args` in the INI is shorter).
process.argv.push('--port', '9000', '--path', '/signal')
require('../../node_modules/peer/dist/bin/peerjs.js')
