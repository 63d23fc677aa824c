-- Asks for site1.test … siteN.test in turn (N is the first argument) and prints its figures as one line of JSON. With "closes" behind
-- it, each request has a connection of its own.
function init(args)
  local sites = tonumber(args[1])
  if args[2] == "closes" then wrk.headers["Connection"] = "close" end
  wrk.headers["Host"] = "site1.test"
  if sites == 1 then return end
  local requests, at = {}, 0
  for site = 1, sites do
    wrk.headers["Host"] = "site" .. site .. ".test"
    requests[site] = wrk.format()
  end
  request = function()
    at = at % sites + 1
    return requests[at]
  end
end

function done(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    '\nfigures {"requests":%d,"durationUs":%d,"p50Us":%d,"p99Us":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    failed.connect, failed.read, failed.write, failed.status, failed.timeout))
end
