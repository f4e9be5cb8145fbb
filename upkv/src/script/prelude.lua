-- The sandbox of scripts. The host runs this once for a Lua state, and calls what it returns.
--
-- A script sees `env`, an empty table that falls through to `globals`, made anew for every call, and to `base`, which is
-- never handed out. Libraries are handed out as empty tables that fall through to the real ones, made anew as well:
-- whatever a script manages to put into one is gone with the call.

local host = ...
local error, getmetatable, setmetatable, next, rawget = error, getmetatable, setmetatable, next, rawget
local select, setfenv, tostring, type, floor = select, setfenv, tostring, type, math.floor
local raw_pairs, raw_pcall, raw_rawset, raw_unpack, raw_xpcall = pairs, pcall, rawset, unpack, xpcall
local byte, sub, find, concat, raw_sort = string.byte, string.sub, string.find, table.concat, table.sort
local raw_gsub = string.gsub

local READONLY = "Attempt to modify a readonly table"
local UNPACK_MAX = 7900
-- More values than this cannot be handed to the host at once.
local ARGS_MAX = 3000
local SORT_MAX = 256
local INT_MAX = 2147483647

local current, opened, invoke, registered

local function deny()
  error(READONLY, 2)
end

local function undefined(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end

local function fail(text)
  error({ err = "ERR " .. text }, 0)
end

-- Functions of the host answer true and their results, or false and a text to which the caller's position is added.
local function finish(ok, ...)
  if ok then
    return ...
  end
  error((...), 3)
end

local function expose(functions)
  local library = {}
  for name, f in next, functions do
    if type(f) == "function" then
      library[name] = function(...)
        if select("#", ...) > ARGS_MAX then
          error("too many arguments", 2)
        end
        return finish(f(...))
      end
    else
      library[name] = f
    end
  end
  return library
end

local function type_name(count, value)
  if count == 0 then
    return "no value"
  end
  return type(value)
end

local function bad(position, name, expected, got)
  error("bad argument #" .. position .. " to '" .. name .. "' (" .. expected .. " expected, got " .. got .. ")", 3)
end

-- Base

local base = {
  _VERSION = _VERSION,
  assert = assert,
  error = error,
  gcinfo = gcinfo,
  ipairs = ipairs,
  next = next,
  rawequal = rawequal,
  rawget = rawget,
  select = select,
  tonumber = tonumber,
  tostring = tostring,
  type = type,
}

-- What a protected call of Lua 5.1 pushes before its results is not accounted for, so they come as one value.
local function pack(...)
  return { count = select("#", ...), ... }
end

local function packed(f, ...)
  return pack(f(...))
end

local function single(f, ...)
  return (f(...))
end

local function index(t, key)
  return t[key]
end

-- The frame above is the prelude's; an error that blames it has no position.
local function plain(reason)
  if type(reason) == "userdata" then
    return tostring(reason)
  elseif type(reason) == "string" and sub(reason, 1, 8) == "prelude:" then
    local _, last = find(reason, "^prelude:%d+: ")
    return (raw_gsub(sub(reason, (last or 0) + 1), "^attempt to call local 'f' %(a (.*)%)$", "attempt to call a %1"))
  end
  return reason
end

local function unpacked(results)
  if results.count > UNPACK_MAX then
    error("too many results to unpack", 0)
  end
  return true, raw_unpack(results, 1, results.count)
end

function base.pcall(...)
  if select("#", ...) == 0 then
    bad(1, "pcall", "value", "no value")
  end
  local ok, reason = raw_pcall(packed, ...)
  if ok then
    return unpacked(reason)
  end
  if host.stopped(reason) then
    error("stopped", 0)
  end
  reason = plain(reason)
  if type(reason) == "string" then
    -- A function that is called from here has no name, as nobody named it.
    reason = (raw_gsub(reason, "^(bad argument #%d+ to ')[^']*'", "%1?'"))
  elseif type(reason) == "table" then
    local text = rawget(reason, "err")
    if type(text) == "string" or type(text) == "number" then
      reason = text
    end
  end
  return false, reason
end

function base.xpcall(...)
  if select("#", ...) < 2 then
    error("bad argument #2 to 'xpcall' (value expected)", 2)
  end
  local f, handler = ...
  local ok, reason = raw_xpcall(function()
    return pack(f())
  end, function(reason)
    if host.stopped(reason) then
      return reason
    end
    -- One value, whatever the handler returns.
    return (handler(plain(reason)))
  end)
  if ok then
    return unpacked(reason)
  end
  if host.stopped(reason) then
    error("stopped", 0)
  end
  return false, plain(reason)
end

-- Calls a function of Lua, whose complaints are about the caller and not about the prelude.
local function blamed(name, f, ...)
  local ok, result = raw_pcall(f, ...)
  if ok then
    return result
  end
  if host.stopped(result) then
    error("stopped", 0)
  end
  error((raw_gsub(result, "'[^']*'", "'" .. name .. "'", 1)), 3)
end

function base.rawset(...)
  local t = ...
  if getmetatable(t) == false then
    error(READONLY, 0)
  end
  return blamed("rawset", raw_rawset, ...)
end

function base.setmetatable(...)
  local t = ...
  if getmetatable(t) == false then
    error(READONLY, 0)
  end
  return blamed("setmetatable", setmetatable, ...)
end

function base.getmetatable(...)
  local value = ...
  if type(value) == "string" then
    return opened.strings
  end
  return getmetatable(...)
end

local function copy_of(contents)
  local copy = {}
  for name, value in next, contents do
    copy[name] = value
  end
  return copy
end

function base.pairs(...)
  local t = ...
  if type(t) ~= "table" then
    bad(1, "pairs", "table", type_name(select("#", ...), t))
  end
  local contents = opened[t]
  if contents then
    local copy = copy_of(contents)
    if t == current then
      for name, value in next, base do
        copy[name] = value
      end
    end
    return next, copy
  end
  return next, t
end

function base.unpack(...)
  local t, i, j = ...
  if type(t) ~= "table" then
    bad(1, "unpack", "table", type_name(select("#", ...), t))
  end
  i = tonumber(i or 1)
  j = tonumber(j or #t)
  if not i or not j then
    bad(i and 3 or 2, "unpack", "number", "other")
  end
  i, j = floor(i), floor(j)
  if i > j then
    return
  end
  if not (i >= -INT_MAX and j <= INT_MAX and j - i < UNPACK_MAX) then
    error("too many results to unpack", 2)
  end
  return raw_unpack(t, i, j)
end

function base.loadstring(...)
  local code, name = ...
  if type(code) ~= "string" and type(code) ~= "number" then
    bad(1, "loadstring", "string", type_name(select("#", ...), code))
  elseif name ~= nil and type(name) ~= "string" and type(name) ~= "number" then
    bad(2, "loadstring", "string", type(name))
  end
  local chunk, message = host.compile(code, name)
  if chunk then
    return setfenv(chunk, current)
  end
  return nil, message
end

function base.load(reader, name)
  if type(reader) ~= "function" then
    bad(1, "load", "function", type(reader))
  end
  local parts, count = {}, 0
  while true do
    local piece = reader()
    if piece == nil or piece == "" then
      break
    end
    if type(piece) == "number" then
      piece = tostring(piece)
    elseif type(piece) ~= "string" then
      return nil, "reader function must return a string"
    end
    count = count + 1
    parts[count] = piece
  end
  return base.loadstring(concat(parts), name or "=(load)")
end

-- A collection takes long and counts no instructions; memory is bounded anyway.
function base.collectgarbage(option)
  if option == "count" then
    return gcinfo()
  end
  return 0
end

setmetatable(base, { __index = undefined })

-- Libraries

local strings = {}
for name, f in next, string do
  strings[name] = f
end
strings.dump = nil
for name, f in next, expose(host.strings) do
  strings[name] = f
end

local raw_step, raw_replace = host.strings.step, host.strings.gsub
strings.step = nil

function strings.gmatch(...)
  local text, pattern = ...
  for at = 1, 2 do
    local kind = type_name(select("#", ...) - at + 1, (select(at, ...)))
    if kind ~= "string" and kind ~= "number" then
      bad(at, "gmatch", "string", kind)
    end
  end
  local from = 0
  local function found(ok, after, ...)
    if not ok then
      error(after, 3)
    end
    from = after
    return ...
  end
  return function()
    if from then
      return found(raw_step(text, pattern, from))
    end
  end
end

strings.gfind = strings.gmatch

-- What a function called by the host raises comes back as a text, so it is kept here and raised again.
function strings.gsub(text, pattern, with, most)
  local kind = type(with)
  if kind ~= "function" and (kind ~= "table" or not getmetatable(with)) then
    return finish(raw_replace(text, pattern, with, most))
  end
  local raised
  local function guarded(...)
    local ok, value
    if kind == "function" then
      ok, value = raw_pcall(single, with, ...)
    else
      ok, value = raw_pcall(index, with, ...)
    end
    if ok then
      return value
    end
    raised = { reason = value }
    error("raised", 0)
  end
  local ok, done, result, count = raw_pcall(raw_replace, text, pattern, guarded, most)
  if ok then
    return finish(done, result, count)
  end
  result = done
  if host.stopped(result) then
    error("stopped", 0)
  elseif raised then
    error(raised.reason, 0)
  end
  error(result, 0)
end

local tables = {}
for name, f in next, table do
  tables[name] = f
end

-- The sort of Lua is quadratic for some orders and counts no instructions; long lists are merged.
local function merged(t, count, before)
  local from, to = t, {}
  local width = 1
  while width < count do
    local at = 1
    while at <= count do
      local left, middle = at, at + width
      local right, finish_left = middle, middle - 1
      local last = at + 2 * width - 1
      if finish_left > count then
        finish_left = count
      end
      if last > count then
        last = count
      end
      for out = at, last do
        if left <= finish_left and (right > last or not before(from[right], from[left])) then
          to[out] = from[left]
          left = left + 1
        else
          to[out] = from[right]
          right = right + 1
        end
      end
      at = at + 2 * width
    end
    from, to = to, from
    width = 2 * width
  end
  if from ~= t then
    for at = 1, count do
      t[at] = from[at]
    end
  end
end

function tables.sort(t, before)
  if type(t) ~= "table" then
    bad(1, "sort", "table", type(t))
  end
  if before ~= nil and type(before) ~= "function" then
    bad(2, "sort", "function", type(before))
  end
  local count = #t
  if count <= SORT_MAX then
    return raw_sort(t, before)
  end
  merged(t, count, before or function(a, b)
    return a < b
  end)
end

-- Where a value is missing the original complains at once; here the range is refused before it is walked.
local raw_concat = tables.concat

function tables.concat(...)
  local t, _, i, j = ...
  local from, to = tonumber(i or 1), tonumber(j)
  if type(t) == "table" and from and to and from <= to and (from < -INT_MAX or to > INT_MAX) then
    error("invalid value (nil) at index " .. ("%.0f"):format(from) .. " in table for 'concat'", 2)
  end
  -- Called through here, it would blame the prelude.
  local ok, result = raw_pcall(raw_concat, ...)
  if ok then
    return result
  end
  if host.stopped(result) then
    error("stopped", 0)
  end
  error((raw_gsub(result, "'%?'", "'concat'", 1)), 2)
end

local maths = {}
for name, f in next, math do
  maths[name] = f
end
for name, f in next, expose(host.maths) do
  maths[name] = f
end

getmetatable("").__index = strings

local redis = {
  LOG_DEBUG = 0,
  LOG_VERBOSE = 1,
  LOG_NOTICE = 2,
  LOG_WARNING = 3,
  REPL_NONE = 0,
  REPL_AOF = 1,
  REPL_SLAVE = 2,
  REPL_REPLICA = 2,
  REPL_ALL = 3,
  REDIS_VERSION = host.version,
  REDIS_VERSION_NUM = host.version_number,
}

function redis.call(...)
  local ok, value = invoke(false, select("#", ...), { ... })
  if ok then
    return value
  end
  error(value, 0)
end

function redis.pcall(...)
  local _, value = invoke(false, select("#", ...), { ... })
  return value
end

local function one_text(...)
  local text = ...
  return select("#", ...) == 1 and type(text) == "string"
end

function redis.error_reply(...)
  if not one_text(...) then
    return { err = "ERR wrong number or type of arguments" }
  end
  local text = ...
  if byte(text) == 45 then
    text = sub(text, 2)
  end
  local last = #text
  while last > 0 and (byte(text, last) == 13 or byte(text, last) == 10) do
    last = last - 1
  end
  text = sub(text, 1, last)
  if not find(text, " ", 1, true) then
    text = "ERR " .. text
  end
  return { err = text }
end

function redis.status_reply(...)
  if not one_text(...) then
    return { err = "ERR wrong number or type of arguments" }
  end
  return { ok = (...) }
end

function redis.sha1hex(...)
  if select("#", ...) ~= 1 then
    fail("wrong number of arguments")
  end
  return host.sha1hex((...))
end

function redis.log(...)
  if select("#", ...) < 2 then
    fail("redis.log() requires two arguments or more.")
  end
  local level = tonumber((...))
  if not level then
    fail("First argument must be a number (log level).")
  end
  if level < 0 or level > 3 then
    fail("Invalid debug level.")
  end
end

function redis.setresp(...)
  if select("#", ...) ~= 1 then
    fail("redis.setresp() requires one argument.")
  end
  local version = floor(tonumber((...)) or 0)
  if version ~= 2 and version ~= 3 then
    fail("RESP version must be 2 or 3.")
  end
  host.setresp(version)
end

function redis.set_repl(...)
  if select("#", ...) ~= 1 then
    fail("redis.set_repl() requires two arguments.")
  end
  local flags = tonumber((...)) or 0
  if flags < 0 or flags > 3 then
    fail("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
  end
end

function redis.acl_check_cmd(...)
  local ok, allowed = invoke(true, select("#", ...), { ... })
  if ok then
    return allowed
  end
  error(allowed, 0)
end

function redis.replicate_commands()
  return true
end

-- While a library is loaded, it can register functions and touch no data.

local loader = {}
for name, value in next, redis do
  loader[name] = value
end
loader.call, loader.pcall, loader.acl_check_cmd, loader.setresp = nil, nil, nil, nil
loader.replicate_commands, loader.set_repl = nil, nil

local function named_arguments(arguments)
  local name, callback, flags, description
  for key, value in next, arguments do
    if key == "function_name" then
      if type(value) ~= "string" then
        fail("function_name argument given to redis.register_function must be a string")
      end
      name = value
    elseif key == "description" then
      if type(value) ~= "string" then
        fail("description argument given to redis.register_function must be a string")
      end
      description = value
    elseif key == "callback" then
      if type(value) ~= "function" then
        fail("callback argument given to redis.register_function must be a function")
      end
      callback = value
    elseif key == "flags" then
      if type(value) ~= "table" then
        fail("flags argument to redis.register_function must be a table representing function flags")
      end
      flags = value
    else
      fail("unknown argument given to redis.register_function")
    end
  end
  if not name then
    fail("redis.register_function must get a function name argument")
  end
  if not callback then
    fail("redis.register_function must get a callback argument")
  end
  return name, callback, flags, description
end

function loader.register_function(...)
  local count = select("#", ...)
  local name, callback, flags, description = ...
  if count < 1 or count > 2 then
    fail("wrong number of arguments to redis.register_function")
  elseif count == 1 then
    if type(name) ~= "table" then
      fail("calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).")
    end
    name, callback, flags, description = named_arguments(name)
  elseif type(name) ~= "string" and type(name) ~= "number" then
    fail("first argument to redis.register_function must be a string")
  elseif type(callback) ~= "function" then
    fail("second argument to redis.register_function must be a function")
  else
    name, flags, description = tostring(name), nil, nil
  end
  local message = host.register(name, flags, description)
  if message then
    fail(message)
  end
  registered[name] = callback
end

setmetatable(loader, { __index = undefined })

-- What is handed out

local function shell(contents)
  return { __index = contents, __newindex = deny, __metatable = false }
end

local json = expose(host.cjson)

function json.new()
  return expose(host.new_cjson())
end

local shells = {
  bit = shell(expose(host.bit)),
  cjson = shell(json),
  cmsgpack = shell(expose(host.cmsgpack)),
  math = shell(maths),
  os = shell(expose(host.os)),
  redis = shell(redis),
  string = shell(strings),
  struct = shell(expose(host.struct)),
  table = shell(tables),
}
local loader_shell = shell(loader)
local globals_shell = { __index = base }

local function open(keys, argv)
  opened = {}
  local env = {}
  local globals = { KEYS = keys, ARGV = argv, _G = env }
  for name, kind in next, shells do
    local proxy = setmetatable({}, kind)
    globals[name] = proxy
    opened[proxy] = kind.__index
  end
  opened[env] = globals
  opened.strings = setmetatable({}, shell({ __index = globals.string }))
  setmetatable(globals, globals_shell)
  current = setmetatable(env, shell(globals))
  return globals
end

local function close(...)
  current, opened, invoke, registered = nil, nil, nil, nil
  return ...
end

-- Runs a function for its first result; see `pack` for why not for all of them.
local function protected(f)
  return raw_xpcall(function()
    return (f())
  end, host.located)
end

local function run(chunk, call, keys, argv)
  open(keys, argv)
  invoke = call
  return close(protected(setfenv(chunk, current)))
end

-- Runs a library and then, if a name is given, the function it registered under it.
local function run_library(chunk, name, call, keys, argv)
  local globals = open(nil, nil)
  registered = {}
  globals.redis = setmetatable({}, loader_shell)
  local ok, reason = protected(setfenv(chunk, current))
  if not ok or not name then
    return close(ok, reason)
  end
  local callback = registered[name]
  if not callback then
    return close(false, { err = "ERR Function not found" })
  end
  globals.redis = setmetatable({}, shells.redis)
  invoke = call
  return close(protected(function()
    return (callback(keys, argv))
  end))
end

return run, run_library
