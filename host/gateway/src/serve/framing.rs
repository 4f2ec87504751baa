//! Where requests of HTTP/1.1 begin and end, by rules that leave no two readings (RFC 9112).
//!
//! Whoever stands before this host (a proxy, a balancer) and this host must agree on that, or a client hides a request in the
//! body of another. So a head is refused that another implementation may read in another way, also where RFC 9112 lets a
//! server mend it; and each body is followed to its end, so that every head is looked at, not only a connection's first.

use memchr::memchr;

/// Bytes of a request's head.
pub(super) const LARGEST_HEAD: usize = 64 << 10;
/// Lines of a head, as many as the HTTP library takes.
const MOST_FIELDS: usize = 100;
/// What a connection of HTTP/2 begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is no request of HTTP/1.1 or 1.0.
    NoHttp,
    /// A line ends without a carriage return, or has one within.
    BareEnd,
    /// A line goes on in the next (RFC 9112 §5.2).
    Folded,
    /// A field's name is no token; one that ends in a blank is none (RFC 9112 §5.1).
    FieldName,
    /// A field's value holds a control character (RFC 9110 §5.5).
    FieldValue,
    /// `content-length` stands twice, or is no number of decimal digits alone.
    Length,
    /// `transfer-encoding` stands twice, in HTTP/1.0, or is not `chunked` alone.
    Coding,
    /// Both of them stand there (RFC 9112 §6.1).
    LengthAndCoding,
    /// `host` stands twice (RFC 9112 §3.2).
    Hosts,
    /// More bytes or fields than a head may have.
    TooLarge,
    /// It was not whole in time.
    Late,
}

impl Fault {
    /// HTTP status (RFC 9110, RFC 6585).
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::TooLarge => 431,
            Self::Late => 408,
            Self::NoHttp
            | Self::BareEnd
            | Self::Folded
            | Self::FieldName
            | Self::FieldValue
            | Self::Length
            | Self::Coding
            | Self::LengthAndCoding
            | Self::Hosts => 400,
        }
    }

    /// For the client, who may be a program that somebody is writing.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::NoHttp => "this is no request of HTTP/1.1",
            Self::BareEnd => "each line of a head must end in CR LF, and have neither within",
            Self::Folded => "no line of a head may begin with a blank",
            Self::FieldName => "the name of a header must be a token, with the colon right behind",
            Self::FieldValue => "the value of a header must not hold control characters",
            Self::Length => "`content-length` must be one decimal number, and stand once",
            Self::Coding => {
                "`transfer-encoding` must be `chunked`, and stand once, in HTTP/1.1 alone"
            }
            Self::LengthAndCoding => {
                "`content-length` and `transfer-encoding` must not stand in one request"
            }
            Self::Hosts => "`host` must not stand twice",
            Self::TooLarge => "the head must have no more than 64 KiB and 100 headers",
            Self::Late => "the head did not come in time (`listen.head-time`)",
        }
    }
}

/// Where a connection is in what its client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At its first byte.
    Beginning,
    /// Before or in a head.
    Head,
    /// In a body of which so many bytes are to come.
    Counted(u64),
    /// In a body in chunks.
    Chunks(Chunk),
    /// What follows is not HTTP/1.1: frames of HTTP/2, or what comes behind a fault.
    Beyond,
}

/// Where in a body in chunks (RFC 9112 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// Its length so far, of so many digits.
    Size {
        length: u64,
        digits: u8,
    },
    /// Behind the length: blanks or an extension.
    Extension {
        length: u64,
    },
    SizeLf {
        length: u64,
    },
    /// In its data, which has so many bytes yet.
    Data(u64),
    DataCr,
    DataLf,
    /// Behind the last chunk, at the beginning of a line.
    End,
    EndLf,
    Trailer,
    TrailerLf,
}

/// Follows what a client sends.
#[derive(Debug)]
pub(super) struct Framing {
    at: At,
    /// Whether it turned out to be HTTP/2.
    is_http_2: bool,
    /// Bytes of the head under way that were looked at.
    searched: usize,
    /// Heads that were taken.
    heads: usize,
}

/// What can be made of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// So many of them are good, from the first on.
    pub(super) good: usize,
    pub(super) rest: Rest,
}

/// What the others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// There are none.
    Nothing,
    /// A part of a head: to be given again, with what comes behind it.
    Part,
    /// A head that is refused.
    Bad(Fault),
}

impl Framing {
    pub(super) const fn new() -> Self {
        Self {
            at: At::Beginning,
            is_http_2: false,
            searched: 0,
            heads: 0,
        }
    }

    /// Heads that were taken so far.
    pub(super) const fn heads(&self) -> usize {
        self.heads
    }

    pub(super) const fn is_http_2(&self) -> bool {
        self.is_http_2
    }

    /// Whether what was taken ends with a whole request.
    pub(super) fn is_between(&self) -> bool {
        self.is_http_2 || matches!(self.at, At::Beginning | At::Head)
    }

    /// Whether nothing can be told any more of what comes: behind a fault in a body. The faulty byte was taken, so that the HTTP
    /// library meets it too; what follows must not reach it.
    pub(super) fn is_lost(&self) -> bool {
        self.at == At::Beyond && !self.is_http_2
    }

    /// Takes what has come.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Taken {
        let mut good = 0;
        while let Some(left) = bytes.get(good..).filter(|left| !left.is_empty()) {
            match self.step(left) {
                Step::Took(count) => good += count,
                Step::Wait => {
                    let rest = Rest::Part;
                    return Taken { good, rest };
                }
                Step::Refuse(fault) => {
                    self.at = At::Beyond;
                    let rest = Rest::Bad(fault);
                    return Taken { good, rest };
                }
            }
        }
        Taken {
            good,
            rest: Rest::Nothing,
        }
    }

    fn step(&mut self, left: &[u8]) -> Step {
        match self.at {
            At::Beginning if left.starts_with(PREFACE) => {
                (self.at, self.is_http_2) = (At::Beyond, true);
                Step::Took(left.len())
            }
            At::Beginning if PREFACE.starts_with(left) => Step::Wait,
            At::Beginning | At::Head => {
                self.at = At::Head;
                self.head(left)
            }
            At::Counted(length) => {
                let count = usize::try_from(length).map_or(left.len(), |most| most.min(left.len()));
                let taken = u64::try_from(count).unwrap_or(u64::MAX);
                self.at = match length.saturating_sub(taken) {
                    0 => At::Head,
                    length => At::Counted(length),
                };
                Step::Took(count)
            }
            At::Chunks(Chunk::Data(length)) => {
                let count = usize::try_from(length).map_or(left.len(), |most| most.min(left.len()));
                let taken = u64::try_from(count).unwrap_or(u64::MAX);
                self.at = At::Chunks(match length.saturating_sub(taken) {
                    0 => Chunk::DataCr,
                    length => Chunk::Data(length),
                });
                Step::Took(count)
            }
            At::Chunks(chunk) => {
                let byte = left.first().copied().unwrap_or_default();
                self.at = match chunk.behind(byte) {
                    Some(Behind::Chunk(chunk)) => At::Chunks(chunk),
                    Some(Behind::Body) => At::Head,
                    None => At::Beyond,
                };
                Step::Took(1)
            }
            At::Beyond => Step::Took(left.len()),
        }
    }

    fn head(&mut self, left: &[u8]) -> Step {
        // Empty lines before a request are nobody's (RFC 9112 §2.2).
        match left {
            [b'\r', b'\n', ..] => return Step::Took(2),
            [b'\r'] => return Step::Wait,
            [first, ..] if !is_token_byte(*first) => return Step::Refuse(Fault::NoHttp),
            _ => {}
        }
        while let Some(found) = left
            .get(self.searched..)
            .and_then(|left| memchr(b'\n', left))
        {
            let end = self.searched + found + 1;
            let head = left.get(..end).unwrap_or_default();
            if end > LARGEST_HEAD {
                return Step::Refuse(Fault::TooLarge);
            }
            if !head.ends_with(b"\r\n") {
                return Step::Refuse(Fault::BareEnd);
            }
            if let Some(head) = head.strip_suffix(b"\r\n\r\n") {
                self.searched = 0;
                return match framed(head) {
                    Ok(at) => {
                        (self.at, self.heads) = (at, self.heads.saturating_add(1));
                        Step::Took(end)
                    }
                    Err(fault) => Step::Refuse(fault),
                };
            }
            self.searched = end;
        }
        self.searched = left.len();
        match left.len() >= LARGEST_HEAD {
            true => Step::Refuse(Fault::TooLarge),
            false => Step::Wait,
        }
    }
}

enum Step {
    Took(usize),
    Wait,
    Refuse(Fault),
}

enum Behind {
    Chunk(Chunk),
    /// The body has ended.
    Body,
}

impl Chunk {
    const FIRST: Self = Self::Size {
        length: 0,
        digits: 0,
    };
    /// Digits of a chunk's length: beyond these it would be a petabyte.
    const MOST_DIGITS: u8 = 12;

    /// Where `byte` leads; nowhere, if it may not stand there.
    fn behind(self, byte: u8) -> Option<Behind> {
        Some(Behind::Chunk(match (self, byte) {
            (Self::Size { length, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16)?;
                if digits >= Self::MOST_DIGITS {
                    return None;
                }
                Self::Size {
                    length: length * 16 + u64::from(digit),
                    digits: digits + 1,
                }
            }
            (Self::Size { digits: 0, .. }, _) => return None,
            (Self::Size { length, .. } | Self::Extension { length }, b'\r') => {
                Self::SizeLf { length }
            }
            (Self::Size { length, .. }, b'\t' | b' ' | b';') => Self::Extension { length },
            (Self::Extension { length }, _) if byte != b'\n' => Self::Extension { length },
            (Self::SizeLf { length: 0 }, b'\n') | (Self::TrailerLf, b'\n') => Self::End,
            (Self::SizeLf { length }, b'\n') => Self::Data(length),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::FIRST,
            (Self::End, b'\r') => Self::EndLf,
            (Self::EndLf, b'\n') => return Some(Behind::Body),
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::End | Self::Trailer, _) if byte != b'\n' => Self::Trailer,
            (
                Self::Size { .. }
                | Self::Extension { .. }
                | Self::SizeLf { .. }
                | Self::Data(_)
                | Self::DataCr
                | Self::DataLf
                | Self::End
                | Self::EndLf
                | Self::Trailer
                | Self::TrailerLf,
                _,
            ) => return None,
        }))
    }
}

/// The path that a head asks for, if its first line can be read.
pub(super) fn target(head: &[u8]) -> Option<&str> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let (target, _) = request_line(line)?;
    std::str::from_utf8(target).ok()
}

/// Target and minor version of a request line.
fn request_line(line: &[u8]) -> Option<(&[u8], u8)> {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_method = !method.is_empty() && method.iter().copied().all(is_token_byte);
    let is_target = !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
    let minor = match version {
        b"HTTP/1.1" => 1,
        b"HTTP/1.0" => 0,
        _ => return None,
    };
    (is_method && is_target && words.next().is_none()).then_some((target, minor))
}

/// What follows a head, which is without its last two line ends.
fn framed(head: &[u8]) -> Result<At, Fault> {
    let mut rest = head;
    let mut next_line = || {
        let line = match memchr::memmem::find(rest, b"\r\n") {
            Some(end) => {
                let (line, behind) = rest.split_at_checked(end)?;
                rest = behind.get(2..).unwrap_or_default();
                line
            }
            None => std::mem::take(&mut rest),
        };
        (!line.is_empty()).then_some(line)
    };
    let first = next_line().ok_or(Fault::NoHttp)?;
    let (_, minor) = request_line(first).ok_or(Fault::NoHttp)?;
    let (mut length, mut coding, mut has_host, mut fields) = (None, None, false, 0);
    while let Some(line) = next_line() {
        fields += 1;
        if fields > MOST_FIELDS {
            return Err(Fault::TooLarge);
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(Fault::Folded);
        }
        let colon = memchr(b':', line).ok_or(Fault::FieldName)?;
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let value = value.strip_prefix(b":").unwrap_or_default();
        if name.is_empty() || !name.iter().copied().all(is_token_byte) {
            return Err(Fault::FieldName);
        }
        if memchr(b'\r', value).is_some() {
            return Err(Fault::BareEnd);
        }
        if value
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            return Err(Fault::FieldValue);
        }
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            if length
                .replace(number(value).ok_or(Fault::Length)?)
                .is_some()
            {
                return Err(Fault::Length);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_chunked = value.eq_ignore_ascii_case(b"chunked") && minor == 1;
            if !is_chunked || coding.replace(()).is_some() {
                return Err(Fault::Coding);
            }
        } else if name.eq_ignore_ascii_case(b"host") && std::mem::replace(&mut has_host, true) {
            return Err(Fault::Hosts);
        }
    }
    match (length, coding) {
        (Some(_), Some(())) => Err(Fault::LengthAndCoding),
        (None, Some(())) => Ok(At::Chunks(Chunk::FIRST)),
        (None | Some(0), None) => Ok(At::Head),
        (Some(length), None) => Ok(At::Counted(length)),
    }
}

/// A number of 1 to 18 decimal digits, without a sign.
fn number(value: &[u8]) -> Option<u64> {
    let is_one = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok()?;
    text.parse().ok().filter(|_| is_one)
}

/// Of which tokens are made (RFC 9110 §5.6.2).
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What becomes of bytes that come at once.
    fn taken(bytes: &str) -> (Framing, Taken) {
        let mut framing = Framing::new();
        let taken = framing.take(bytes.as_bytes());
        (framing, taken)
    }

    #[test]
    fn every_request_of_a_connection_is_found() {
        let text = "\r\nPOST /a HTTP/1.1\r\nHost: x\r\ncontent-length:  3 \r\n\r\nabc\
            GET /b HTTP/1.0\r\n\r\n\
            POST /c HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=\"b\"\r\na\r\n\r\n0a \r\n0123456789\r\n0\r\nx: y\r\n\r\n\
            DELETE /d HTTP/1.1\r\ncontent-length: 0\r\n\r\n";
        let (framing, taken) = taken(text);
        assert_eq!((taken.good, taken.rest), (text.len(), Rest::Nothing));
        assert!(framing.is_between() && !framing.is_http_2());
        assert_eq!(framing.heads(), 4);
    }

    #[test]
    fn what_others_may_read_in_another_way_is_refused() {
        for (fields, fault) in [
            (
                "content-length: 5\r\ntransfer-encoding: chunked",
                Fault::LengthAndCoding,
            ),
            (
                "transfer-encoding: chunked\r\ncontent-length: 5",
                Fault::LengthAndCoding,
            ),
            ("content-length: 5\r\ncontent-length: 5", Fault::Length),
            ("content-length: 5, 5", Fault::Length),
            ("content-length: +5", Fault::Length),
            ("content-length: 0x5", Fault::Length),
            ("content-length: 5 5", Fault::Length),
            ("content-length:", Fault::Length),
            ("content-length: 9999999999999999999", Fault::Length),
            (
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
                Fault::Coding,
            ),
            (
                "transfer-encoding: chunked\r\ntransfer-encoding: identity",
                Fault::Coding,
            ),
            ("transfer-encoding: gzip, chunked", Fault::Coding),
            ("transfer-encoding: xchunked", Fault::Coding),
            ("transfer-encoding: \u{b}chunked", Fault::FieldValue),
            ("transfer-encoding:\r\n chunked", Fault::Coding),
            ("x: a\r\n\tb: c", Fault::Folded),
            ("transfer-encoding : chunked", Fault::FieldName),
            (" transfer-encoding: chunked", Fault::Folded),
            ("content-length\t: 5", Fault::FieldName),
            ("x", Fault::FieldName),
            (": x", Fault::FieldName),
            ("x: a\rcontent-length: 5", Fault::BareEnd),
            ("x: a\ncontent-length: 5", Fault::BareEnd),
            ("x: \u{0}", Fault::FieldValue),
            ("host: b", Fault::Hosts),
        ] {
            let text = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
            let rest = taken(&text).1.rest;
            assert_eq!(rest, Rest::Bad(fault), "{fields:?}");
        }
        for (text, fault) in [
            (
                "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
                Fault::Coding,
            ),
            ("POST  / HTTP/1.1\r\n\r\n", Fault::NoHttp),
            ("POST /a b HTTP/1.1\r\n\r\n", Fault::NoHttp),
            ("POST / HTTP/1.2\r\n\r\n", Fault::NoHttp),
            ("POST /\r\n\r\n", Fault::NoHttp),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r", Fault::NoHttp),
            ("POST / HTTP/1.1\n\n", Fault::BareEnd),
            ("\u{16}\u{3}\u{1}", Fault::NoHttp),
        ] {
            let refused = match taken(text).1.rest {
                // The preface of HTTP/2 is waited for to its end.
                Rest::Part => taken(&format!("{text}x")).1.rest,
                rest @ (Rest::Nothing | Rest::Bad(_)) => rest,
            };
            assert_eq!(refused, Rest::Bad(fault), "{text:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(LARGEST_HEAD));
        assert_eq!(taken(&long).1.rest, Rest::Bad(Fault::TooLarge));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101));
        assert_eq!(taken(&many).1.rest, Rest::Bad(Fault::TooLarge));
    }

    #[test]
    fn a_refused_head_leaves_what_came_before_it_good() {
        let first = "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
        let (framing, taken) = taken(&format!("{first}GET / HTTP/1.1\r\n x: y\r\n\r\n"));
        assert_eq!(taken.good, first.len());
        assert_eq!(taken.rest, Rest::Bad(Fault::Folded));
        assert_eq!(framing.heads(), 1);
        assert_eq!(target(b"GET /v1/a?b HTTP/1.1\r\n x: y"), Some("/v1/a?b"));
        assert_eq!(target(b"GET /v1/a b HTTP/1.1"), None);
    }

    #[test]
    fn nothing_behind_a_fault_in_chunks_is_taken_for_a_request() {
        for chunks in [
            "g\r\n",
            "\r\n",
            ";a\r\n",
            "3\nabc",
            "3;a\nb",
            "3\r\nabcd",
            "3\r\nabc\n",
            "0\r\n\n",
            "0\r\nx: y\n\r\n",
            "1234567890123\r\n",
            "-1\r\n",
            "0x3\r\n",
            "3 3\n",
        ] {
            let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
            let (framing, taken) = taken(&format!("{head}{chunks}\r\nGET / HTTP/1.1\r\n\r\n"));
            assert_eq!(taken.rest, Rest::Nothing, "{chunks:?}");
            assert!(framing.is_lost() && !framing.is_between(), "{chunks:?}");
            assert_eq!(framing.heads(), 1, "{chunks:?}");
        }
    }

    #[test]
    fn http_2_is_known_by_its_preface() {
        let (framing, taken) = taken("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\u{0}\u{0}");
        assert_eq!((taken.good, taken.rest), (26, Rest::Nothing));
        assert!(framing.is_http_2() && !framing.is_lost());
    }

    proptest! {
        /// In whatever pieces bytes come, the same is made of them.
        #[test]
        fn pieces_make_no_difference(
            text in "(POST / HTTP/1\\.1\r\ncontent-length: 3\r\n\r\n(abc|abcd)|GET /x HTTP/1\\.1\r\nx: y\r\n\r\n|\
                POST / HTTP/1\\.1\r\ntransfer-encoding: chunked\r\n\r\n(3\r\nabc\r\n)?0\r\n(x: y\r\n)?\r\n|\
                [ -~\r\n]{0,9}){0,6}",
            cuts in proptest::collection::vec(1..40_usize, 1..20),
        ) {
            let (whole, all) = taken(&text);
            let mut framing = Framing::new();
            let (mut given, mut held, mut good, mut last) = (0, Vec::new(), 0, Rest::Nothing);
            let mut cuts = cuts.into_iter().cycle();
            while given < text.len() && !matches!(last, Rest::Bad(_)) {
                let end = text.len().min(given + cuts.next().unwrap_or(1));
                held.extend_from_slice(&text.as_bytes()[given..end]);
                given = end;
                let taken = framing.take(&held);
                (good, last) = (good + taken.good, taken.rest);
                held.drain(..taken.good);
            }
            prop_assert_eq!((good, last), (all.good, all.rest));
            prop_assert_eq!(framing.heads(), whole.heads());
            prop_assert_eq!(framing.at, whole.at);
        }
    }
}
