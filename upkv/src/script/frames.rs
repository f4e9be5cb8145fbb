//! Keeps the frame of a caller whose last act is to call a function of a library.
//!
//! Functions of the sandbox are written in Lua, so `return redis.call(...)` would be a tail call that drops the frame of
//! the script, and with it the line that errors are reported with. Compiled code that tail-calls a global or a field
//! of a table is changed to call it. Calls of locals stay tail calls: recursion through them needs no stack.
//!
//! Invariant: only what Lua 5.1 itself has dumped is changed, and only from one call to the other, which has the same
//! operands and the same `return` behind it. What does not read as such a dump is left as it is.

const HEADER: [u8; 12] = [0x1b, b'L', b'u', b'a', 0x51, 0, 1, 4, 8, 4, 8, 0];
const MOVE: u32 = 0;
const GETGLOBAL: u32 = 5;
const GETTABLE: u32 = 6;
const METHOD: u32 = 11;
const CALL: u32 = 28;
const TAILCALL: u32 = 29;
const SETLIST: u32 = 34;
const CLOSURE: u32 = 36;
/// The operand of SETLIST that is zero if it does not fit.
const BLOCK: u32 = 0x1ff << 14;
/// Operations that leave their result in the register they name first, except for arithmetic.
const LOADS: [u32; 8] = [MOVE, 1, 4, GETGLOBAL, GETTABLE, METHOD, CALL, CLOSURE];

/// The dump with such calls changed; nothing if there are none.
pub(super) fn keep_frames(dump: &[u8]) -> Option<Vec<u8>> {
    let mut dump = dump.to_vec();
    if !dump.starts_with(&HEADER) {
        return None;
    }
    let mut reader = Reader {
        dump: &mut dump,
        at: HEADER.len(),
        changed: false,
    };
    reader.function()?;
    let is_changed = reader.changed && reader.at == reader.dump.len();
    is_changed.then_some(dump)
}

struct Reader<'d> {
    dump: &'d mut [u8],
    at: usize,
    changed: bool,
}

impl Reader<'_> {
    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.at = self.at.checked_add(bytes)?;
        (self.at <= self.dump.len()).then_some(())
    }

    fn word(&mut self) -> Option<u32> {
        let word = self.dump.get(self.at..)?.first_chunk()?;
        self.at += 4;
        Some(u32::from_le_bytes(*word))
    }

    fn count(&mut self) -> Option<usize> {
        self.word().map(|count| count as usize)
    }

    fn text(&mut self) -> Option<()> {
        let length = self.dump.get(self.at..)?.first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        self.skip(8)?;
        self.skip(length)
    }

    /// One function and those inside it. Lua nests them 200 deep at most.
    fn function(&mut self) -> Option<()> {
        self.text()?;
        // The lines it spans, and four bytes about its registers.
        self.skip(12)?;
        self.code()?;
        for _ in 0..self.count()? {
            let kind = *self.dump.get(self.at)?;
            self.skip(1)?;
            match kind {
                0 => {}
                1 => self.skip(1)?,
                3 => self.skip(8)?,
                4 => self.text()?,
                _ => return None,
            }
        }
        for _ in 0..self.count()? {
            self.function()?;
        }
        let lines = self.count()?;
        self.skip(lines.checked_mul(4)?)?;
        for _ in 0..self.count()? {
            self.text()?;
            self.skip(8)?;
        }
        for _ in 0..self.count()? {
            self.text()?;
        }
        Some(())
    }

    fn code(&mut self) -> Option<()> {
        let count = self.count()?;
        let start = self.at;
        self.skip(count.checked_mul(4)?)?;
        // What was last put into each register.
        let mut loaded = [MOVE; 256];
        let mut at = start;
        while at < self.at {
            let code = u32::from_le_bytes(*self.dump.get(at..)?.first_chunk()?);
            let (operation, register) = (code & 0x3f, (code >> 6 & 0xff) as usize);
            if operation == TAILCALL && matches!(loaded[register], GETGLOBAL | GETTABLE | METHOD) {
                let call = code & !0x3f | CALL;
                self.dump
                    .get_mut(at..at + 4)?
                    .copy_from_slice(&call.to_le_bytes());
                self.changed = true;
            } else if operation == SETLIST && code & BLOCK == 0 {
                // The next word is a number.
                at += 4;
            } else if LOADS.contains(&operation) {
                loaded[register] = operation;
            }
            at += 4;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use mlua::{ChunkMode, Lua};

    use super::*;

    fn dump(lua: &Lua, code: &str) -> Vec<u8> {
        let chunk = lua.load(code).into_function().expect("it compiles");
        chunk.dump(false)
    }

    #[test]
    fn calls_of_globals_and_fields_keep_their_frame() {
        let lua = Lua::new();
        for (code, is_changed) in [
            ("return f()", true),
            ("return a.b(1, 2)", true),
            ("return a.b.c()", true),
            ("return a:b()", true),
            ("return function(...) return f(...) end", true),
            ("local t = {1, 2, 3} return f(t)", true),
            ("local f = f return f()", false),
            ("local function f(n) return f(n - 1) end", false),
            ("return 1", false),
            ("f()", false),
        ] {
            let kept = keep_frames(&dump(&lua, code));
            assert_eq!(kept.is_some(), is_changed, "{code}");
            if let Some(kept) = kept {
                assert_eq!(
                    keep_frames(&kept),
                    None,
                    "nothing is left to change: {code}"
                );
                let loaded = lua.load(kept).set_mode(ChunkMode::Binary);
                loaded.into_function().expect("Lua takes it");
            }
        }
    }

    #[test]
    fn what_is_changed_does_the_same_and_knows_its_line() {
        let lua = Lua::new();
        let code = "local n, t = 0, {}\nfor i = 1, 600 do t[i] = i end\n\
            local function sum(i) if i > #t then return n end n = n + t[i] return sum(i + 1) end\n\
            return tostring(sum(1))";
        let kept = keep_frames(&dump(&lua, code)).expect("there is a call to keep");
        let run = |code: &[u8]| lua.load(code).set_mode(ChunkMode::Binary).eval::<String>();
        assert_eq!(
            run(&kept).expect("runs"),
            run(&dump(&lua, code)).expect("runs")
        );
        let code = dump(&lua, "\n\nreturn error('late', 2)");
        let kept = keep_frames(&code).expect("there is a call to keep");
        lua.globals()
            .set("code", lua.create_string(&kept).expect("a string"))
            .expect("a global");
        // The position is that of the caller of the chunk; with a tail call there would be none.
        let caller = "local ok, e = pcall(function() local x = loadstring(code)() end) return e";
        let text: String = lua.load(caller).set_name("=c").eval().expect("runs");
        assert_eq!(text, "c:1: late");
    }

    #[test]
    fn no_bytes_lead_astray() {
        let lua = Lua::new();
        let whole = dump(
            &lua,
            "local t = {1, 'a', true, nil} return f(function() return a.b(t) end)",
        );
        for end in 0..whole.len() {
            assert_eq!(keep_frames(&whole[..end]), None, "cut at {end}");
        }
        for at in HEADER.len()..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                // What comes out is of no use, but nothing goes wrong.
                let kept = keep_frames(&damaged);
                assert!(kept.is_none_or(|kept| kept.len() == damaged.len()));
            }
        }
        assert_eq!(keep_frames(b""), None);
    }
}
