//! Requests out of a stream of bytes, in whatever pieces they come.
//!
//! Invariant: memory grows with what was received, never with what a length announces; after a protocol error nothing
//! more is read.

use super::inline;
use crate::number;

/// Bytes of a line: an inline request, or the head of a request or of an argument.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Arguments of a request.
const ARGS_MAX: i64 = 1 << 20;
/// The same before authentication.
const ARGS_MAX_UNKNOWN: i64 = 10;
/// Bytes of an argument, whatever `proto-max-bulk-len` says.
const BULK_BYTES_MAX: i64 = 512 << 20;
/// The same before authentication.
const BULK_BYTES_MAX_UNKNOWN: i64 = 16 << 10;

/// One request: the name of a command and its arguments.
pub(super) type Request = Vec<Vec<u8>>;

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Parser {
    buffer: Vec<u8>,
    /// Where in `buffer` the next byte to look at is.
    at: usize,
    args: Request,
    args_bytes: usize,
    /// Arguments of the present request that are still to come; 0 between requests.
    missing: usize,
    /// Length of the argument that comes now, once it is known.
    bulk: Option<usize>,
    broken: bool,
}

/// How much a client may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Whether the client has logged in.
    pub(super) authenticated: bool,
    /// Bytes of an argument.
    pub(super) bulk_bytes_max: i64,
    /// Bytes of a request, with what has arrived after it.
    pub(super) query_bytes_max: usize,
}

type Parsed<T> = Result<Option<T>, String>;

impl Parser {
    /// Takes over bytes that were received.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Bytes that were received and not handed out.
    pub(super) fn pending_bytes(&self) -> usize {
        self.buffer.len() - self.at + self.args_bytes
    }

    /// The next whole request; the text of the error if the stream cannot be understood any further.
    pub(super) fn next(&mut self, limits: Limits) -> Parsed<Request> {
        if self.broken {
            return Ok(None);
        }
        let outcome = self.parse(limits);
        if outcome.is_err() {
            *self = Self {
                broken: true,
                ..Self::default()
            };
        } else if outcome == Ok(None) {
            self.buffer.drain(..self.at);
            self.at = 0;
            if self.pending_bytes() > limits.query_bytes_max {
                self.broken = true;
                return Err("too big request".into());
            }
        }
        outcome
    }

    fn parse(&mut self, limits: Limits) -> Parsed<Request> {
        loop {
            if self.missing == 0 {
                match self.buffer.get(self.at) {
                    None => return Ok(None),
                    Some(b'*') => {
                        if !self.head(limits)? {
                            return Ok(None);
                        }
                    }
                    Some(_) => match self.inline()? {
                        None => return Ok(None),
                        Some(request) if request.is_empty() => {}
                        Some(request) => return Ok(Some(request)),
                    },
                }
                continue;
            }
            if !self.argument(limits)? {
                return Ok(None);
            }
            if self.missing == 0 {
                self.args_bytes = 0;
                return Ok(Some(std::mem::take(&mut self.args)));
            }
        }
    }

    fn inline(&mut self) -> Parsed<Request> {
        let rest = &self.buffer[self.at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            if rest.len() > LINE_BYTES_MAX {
                return Err("too big inline request".into());
            }
            return Ok(None);
        };
        let line = &rest[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let words = inline::split(line).ok_or("unbalanced quotes in request")?;
        self.at += end + 1;
        Ok(Some(words))
    }

    /// A line that ends in CR LF, without its first byte; `None` if it is not all there.
    fn line(&self, what: &str) -> Result<Option<(&[u8], usize)>, String> {
        let rest = &self.buffer[self.at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\r') else {
            if rest.len() > LINE_BYTES_MAX {
                return Err(format!("too big {what} count string"));
            }
            return Ok(None);
        };
        if rest.len() < end + 2 {
            return Ok(None);
        }
        Ok(Some((rest.get(1..end).unwrap_or_default(), end + 2)))
    }

    /// Reads how many arguments a request has; `false` if that is not all there.
    fn head(&mut self, limits: Limits) -> Result<bool, String> {
        let Some((digits, len)) = self.line("mbulk")? else {
            return Ok(false);
        };
        let count = number::parse_i64(digits).filter(|count| *count <= ARGS_MAX);
        let count = count.ok_or("invalid multibulk length")?;
        if !limits.authenticated && count > ARGS_MAX_UNKNOWN {
            return Err("unauthenticated multibulk length".into());
        }
        self.at += len;
        // An empty request, or one of negative length, is no request.
        self.missing = usize::try_from(count).unwrap_or(0);
        Ok(true)
    }

    /// Reads one argument; `false` if it is not all there.
    fn argument(&mut self, limits: Limits) -> Result<bool, String> {
        let len = match self.bulk {
            Some(len) => len,
            None => match self.bulk_head(limits)? {
                None => return Ok(false),
                Some(len) => len,
            },
        };
        self.bulk = Some(len);
        let rest = &self.buffer[self.at..];
        if rest.len() < len + 2 {
            return Ok(false);
        }
        self.args.push(rest[..len].to_vec());
        self.args_bytes += len + size_of::<Vec<u8>>();
        self.at += len + 2;
        self.bulk = None;
        self.missing -= 1;
        Ok(true)
    }

    fn bulk_head(&mut self, limits: Limits) -> Parsed<usize> {
        let Some(first) = self.buffer.get(self.at) else {
            return Ok(None);
        };
        let first = *first;
        let Some((digits, line)) = self.line("bulk")? else {
            return Ok(None);
        };
        if first != b'$' {
            return Err(format!("expected '$', got '{}'", char::from(first)));
        }
        let longest = limits.bulk_bytes_max.min(BULK_BYTES_MAX);
        let len = number::parse_i64(digits).filter(|len| (0..=longest).contains(len));
        let len = len.ok_or("invalid bulk length")?;
        if !limits.authenticated && len > BULK_BYTES_MAX_UNKNOWN {
            return Err("unauthenticated bulk length".into());
        }
        self.at += line;
        Ok(usize::try_from(len).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(authenticated: bool) -> Limits {
        Limits {
            authenticated,
            bulk_bytes_max: i64::MAX,
            query_bytes_max: 1 << 30,
        }
    }

    fn all(bytes: &[u8], piece: usize, authenticated: bool) -> (Vec<Request>, Option<String>) {
        let mut parser = Parser::default();
        let mut found = Vec::new();
        for piece in bytes.chunks(piece) {
            parser.push(piece);
            loop {
                match parser.next(limits(authenticated)) {
                    Ok(Some(request)) => found.push(request),
                    Ok(None) => break,
                    Err(why) => return (found, Some(why)),
                }
            }
        }
        (found, None)
    }

    fn words(line: &str) -> Request {
        line.split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect()
    }

    #[test]
    fn requests_arrive_in_any_pieces() {
        let bytes =
            b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n\r\n*0\r\n*-1\r\n*1\r\n$0\r\n\r\nset k 'a b'\n";
        let expected = [words("GET a"), words("PING"), words(""), {
            let mut set = words("set k");
            set.push(b"a b".to_vec());
            set
        }];
        for piece in 1..=bytes.len() {
            let (found, error) = all(bytes, piece, true);
            assert_eq!(
                (&found[..], error),
                (&expected[..], None),
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn broken_streams_are_refused_as_in_redis() {
        for (bytes, authenticated, expected) in [
            (&b"*1048577\r\n"[..], true, "invalid multibulk length"),
            (b"*x\r\n", true, "invalid multibulk length"),
            (b"*11\r\n", false, "unauthenticated multibulk length"),
            (b"*1\r\n$16385\r\n", false, "unauthenticated bulk length"),
            (b"*1\r\n$536870913\r\n", true, "invalid bulk length"),
            (b"*1\r\n$-1\r\n", true, "invalid bulk length"),
            (b"*1\r\n:1\r\n", true, "expected '$', got ':'"),
            (b"set 'a\r\n", true, "unbalanced quotes in request"),
        ] {
            for piece in [1, bytes.len()] {
                let (_, error) = all(bytes, piece, authenticated);
                assert_eq!(error.as_deref(), Some(expected), "{}", bytes.escape_ascii());
            }
        }
        let long = vec![b'1'; LINE_BYTES_MAX + 2];
        for (head, expected) in [
            (&b""[..], "too big inline request"),
            (b"*", "too big mbulk count string"),
            (b"*1\r\n$", "too big bulk count string"),
        ] {
            let bytes = [head, &long].concat();
            assert_eq!(all(&bytes, 1 << 20, true).1.as_deref(), Some(expected));
        }
    }

    #[test]
    fn nothing_is_read_after_an_error() {
        let (found, error) = all(b"PING\r\n*1\r\nx\r\nPING\r\n", 1 << 10, true);
        assert_eq!(found, [words("PING")]);
        assert!(error.is_some());
        let mut parser = Parser::default();
        parser.push(b"*1\r\nx\r\n");
        assert!(parser.next(limits(true)).is_err());
        parser.push(b"PING\r\n");
        assert_eq!(parser.next(limits(true)), Ok(None));
        assert_eq!(parser.pending_bytes(), 0);
    }

    #[test]
    fn announced_lengths_take_no_memory() {
        let mut parser = Parser::default();
        parser.push(b"*1048576\r\n$536870912\r\nabc");
        assert_eq!(parser.next(limits(true)), Ok(None));
        assert!(parser.buffer.capacity() < 1 << 10);
        assert!(parser.args.capacity() < 1 << 10);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, piece in 1_usize..64, authenticated: bool) {
            let whole = all(&bytes, bytes.len().max(1), authenticated);
            let pieces = all(&bytes, piece, authenticated);
            proptest::prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn requests_read_back(requests: Vec<Vec<Vec<u8>>>, piece in 1_usize..64) {
            let mut bytes = Vec::new();
            for request in &requests {
                bytes.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
                for arg in request {
                    bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                    bytes.extend_from_slice(arg);
                    bytes.extend_from_slice(b"\r\n");
                }
            }
            let expected: Vec<_> = requests.into_iter().filter(|request| !request.is_empty()).collect();
            let (found, error) = all(&bytes, piece, true);
            proptest::prop_assert_eq!(error, None);
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
