// What `npx json-server db.json` runs, with its arguments, as a file of the site's own may give them too (`args` in the INI is shorter).
process.argv.push(`${__dirname}/db.json`, '--port', '3000')
require('json-server/lib/cli/bin.js')
