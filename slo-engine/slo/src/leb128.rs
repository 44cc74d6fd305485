//! Numbers and names as bytes: LEB128, signed ones zigzag, names by what they share with the one before.

/// What is wrong with bytes, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Offset of the byte behind the last one that was understood.
    pub(crate) at: usize,
    /// What was expected or found.
    pub(crate) what: &'static str,
}

/// Bytes that are read from front to back, whoever wrote them.
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A signed number: small ones of either sign are short.
pub(crate) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// A name as the length that it shares with the one before, and the rest.
pub(crate) fn put_name(out: &mut Vec<u8>, before: &str, name: &str) {
    let shared = before.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    put(out, shared as u64);
    put(out, (name.len() - shared) as u64);
    out.extend(&name.as_bytes()[shared..]);
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn broken(&self, what: &'static str) -> Broken {
        Broken { at: self.at, what }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let end = self.at.checked_add(len);
        let taken =
            end.and_then(|end| self.bytes.get(self.at..end)).ok_or(self.broken("it ends too early"))?;
        self.at += len;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Broken> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn number(&mut self) -> Result<u64, Broken> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.broken("a number beyond 64 bits"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Broken> {
        let zigzag = self.number()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    pub(crate) fn name(&mut self, before: &str) -> Result<String, Broken> {
        let (shared, rest) = (self.number()? as usize, self.number()? as usize);
        let shared =
            before.as_bytes().get(..shared).ok_or(self.broken("a name shares more than there is"))?;
        let rest = self.take(rest)?;
        String::from_utf8([shared, rest].concat()).map_err(|_| self.broken("a name is not UTF-8"))
    }
}
