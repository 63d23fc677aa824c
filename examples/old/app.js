// An app from 2015, as they all look: CommonJS, Express 4, and a guard that starts it only where it is the main program.
// Under vhostel it is. (Here Express 4 is installed under the name express4, because the shop has Express 5.)
var express = require('express4')

var app = express()

app.get('/', function (req, res) {
  res.send('<!doctype html><title>Old</title><h1>Still here</h1><p>' + req.headers.host + ', Express 4, untouched since 2015.')
})

app.get('/add/:a/:b', function (req, res) {
  res.json({ sum: Number(req.params.a) + Number(req.params.b) })
})

module.exports = app

if (require.main === module) {
  var server = app.listen(process.env.PORT || 3001, function () {
    console.log('listening on port ' + server.address().port)
  })
}
