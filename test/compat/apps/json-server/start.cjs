// What `npx json-server db.json` runs, with its arguments: a site's INI has none to give.
process.argv.push(`${__dirname}/db.json`, '--port', '3000')
require('json-server/lib/cli/bin.js')
