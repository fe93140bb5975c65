-- Sends photos with wrk, one after the other on every connection; run by
-- loadtest/crosscheck/programs.py:
--   wrk -t1 -c16 -d15s -s loadtest/crosscheck/wrk.lua http://127.0.0.1:8000 -- LIST
-- LIST has one line per photo: path, tab, media type. The last line of the output is JSON: counts of
-- PNG answers, other answers and failed connections, and latencies.

local requests, turn = {}, 0
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  right, wrong = 0, 0  -- global: done() reads them from each thread
  for line in io.lines(arguments[1]) do
    local path, media_type = line:match("^(.-)\t(.*)$")
    local file = assert(io.open(path, "rb"))
    local headers = { ["Content-Type"] = media_type }
    requests[#requests + 1] = wrk.format("POST", "/v1/segment", headers, file:read("*a"))
    file:close()
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function response(status, headers, _)
  local is_png = false
  for name, value in pairs(headers) do
    is_png = is_png or (name:lower() == "content-type" and value == "image/png")
  end
  if status == 200 and is_png then right = right + 1 else wrong = wrong + 1 end
end

function done(summary, latency, _)
  local rights, wrongs = 0, 0
  for _, thread in ipairs(threads) do
    rights, wrongs = rights + thread:get("right"), wrongs + thread:get("wrong")
  end
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout
  io.write(string.format(
    '{"right": %d, "wrong": %d, "failed": %d, "seconds": %.3f, "p50_ms": %.2f, "p99_ms": %.2f}\n',
    rights, wrongs, failed, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
