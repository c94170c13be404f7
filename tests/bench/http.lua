-- SPDX-License-Identifier: MIT
-- What wrk asks for, for scripts/bench http: wrk ... -s http.lua URL -- KIND KEYS BYTES FIRST.
-- All requests are made before the clock runs. Writes go over all keys, each thread from another one
-- on. A thread that reads asks for one key: choosing one each time would make wrk itself take a fifth
-- of what the servers have. Ends with one line of figures; what was not answered with success is
-- counted in it.

local requests = {}
local count, at
local threads = 0

function setup(thread)
	thread:set("number", threads)
	threads = threads + 1
end

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(bytes)
	local out = {}
	for i = 1, #bytes, 3 do
		local a, b, c = bytes:byte(i, i + 2)
		local n = a * 65536 + (b or 0) * 256 + (c or 0)
		for shift = 3, 0, -1 do
			local digit = math.floor(n / 64 ^ shift) % 64 + 1
			local absent = (shift == 1 and not b) or (shift == 0 and not c)
			out[#out + 1] = absent and "=" or alphabet:sub(digit, digit)
		end
	end
	return table.concat(out)
end

local json = { ["Content-Type"] = "application/json" }

local reads = { ["get"] = true, ["post"] = true, ["etcd-range"] = true }

-- Method, path, headers and body.
local make = {
	["get"] = function(key)
		return "GET", "/kv/" .. key
	end,
	["put-disk"] = function(key, value)
		return "PUT", "/kv/" .. key, { ["HexKV-Durability"] = "disk" }, value
	end,
	["put-memory"] = function(key, value)
		return "PUT", "/kv/" .. key, { ["HexKV-Durability"] = "memory" }, value
	end,
	["post"] = function(key)
		return "POST", "/", json, key
	end,
	["put-json"] = function(key, value)
		return "PUT", "/", json, '{"key":"' .. key ..
			'","content_type":"text/plain","encoding":"utf-8","value":"' .. value .. '"}'
	end,
	["etcd-range"] = function(key)
		return "POST", "/v3/kv/range", json, '{"key":"' .. base64(key) .. '"}'
	end,
	["etcd-put"] = function(key, _, encoded)
		return "POST", "/v3/kv/put", json,
			'{"key":"' .. base64(key) .. '","value":"' .. encoded .. '"}'
	end,
}

function init(args)
	local kind, keys, bytes = args[1], tonumber(args[2]), tonumber(args[3])
	local first = tonumber(args[4])
	local value = string.rep("v", bytes)
	local encoded = kind == "etcd-put" and base64(value)
	count = keys
	at = number * 499 % keys
	if reads[kind] then
		wrk.method, wrk.path, wrk.headers, wrk.body = make[kind](tostring(first + at))
		wrk.headers = wrk.headers or {}
		wrk.headers["Host"] = wrk.host .. ":" .. wrk.port
		request = nil
		return
	end
	for i = 0, keys - 1 do
		requests[i] = wrk.format(make[kind](tostring(first + i), value, encoded))
	end
end

function request()
	at = at + 1
	if at >= count then
		at = 0
	end
	return requests[at]
end

function done(summary, latency)
	local errors = summary.errors
	print(string.format(
		"requests=%d seconds=%.6f p50_us=%d p99_us=%d bytes=%d failed=%d", summary.requests,
		summary.duration / 1e6, latency:percentile(50), latency:percentile(99), summary.bytes,
		errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
