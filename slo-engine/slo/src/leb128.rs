//! Numbers and names as bytes: LEB128, signed ones zigzag, names by what they share with the one before or with their
//! length; read back without trust.

/// What is wrong with bytes, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {what}")]
pub struct Broken {
    /// Offset of the byte behind the last one that was understood.
    pub at: usize,
    /// What was expected or found.
    pub what: &'static str,
}

/// Bytes that are read from front to back, whoever wrote them.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Writes a number.
pub fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes a signed number: small ones of either sign are short.
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// Writes a name as the length that it shares with the one before, and the rest.
pub fn put_name(out: &mut Vec<u8>, before: &str, name: &str) {
    let shared = before.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    put(out, shared as u64);
    put(out, (name.len() - shared) as u64);
    out.extend(&name.as_bytes()[shared..]);
}

/// Writes bytes with their length in front.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend(bytes);
}

impl<'a> Input<'a> {
    /// From the first byte on.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// What is wrong here.
    pub fn broken(&self, what: &'static str) -> Broken {
        Broken { at: self.at, what }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// There are not so many.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let end = self.at.checked_add(len);
        let taken =
            end.and_then(|end| self.bytes.get(self.at..end)).ok_or(self.broken("it ends too early"))?;
        self.at += len;
        Ok(taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// There is none.
    pub fn byte(&mut self) -> Result<u8, Broken> {
        let byte = self.bytes.get(self.at).copied().ok_or(self.broken("it ends too early"))?;
        self.at += 1;
        Ok(byte)
    }

    /// The next number.
    ///
    /// # Errors
    /// The bytes end, or the number has more than 64 bits.
    pub fn number(&mut self) -> Result<u64, Broken> {
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

    /// How many things follow. Each takes a byte at least, so more than there are bytes is a mistake.
    ///
    /// # Errors
    /// There is no number, or not enough behind it.
    pub fn count(&mut self) -> Result<usize, Broken> {
        let count = usize::try_from(self.number()?).ok().filter(|count| *count <= self.left());
        count.ok_or(self.broken("more things than bytes"))
    }

    /// Bytes with their length in front.
    ///
    /// # Errors
    /// There are not so many.
    pub fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let len = self.count()?;
        self.take(len)
    }

    /// The next signed number.
    ///
    /// # Errors
    /// See [`Input::number`].
    pub fn signed(&mut self) -> Result<i64, Broken> {
        let zigzag = self.number()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// The next name, by the one before.
    ///
    /// # Errors
    /// The bytes end, it shares more than there is, or it is not UTF-8.
    pub fn name(&mut self, before: &str) -> Result<String, Broken> {
        let (shared, rest) = (self.number()? as usize, self.number()? as usize);
        let shared =
            before.as_bytes().get(..shared).ok_or(self.broken("a name shares more than there is"))?;
        let rest = self.take(rest)?;
        String::from_utf8([shared, rest].concat()).map_err(|_| self.broken("a name is not UTF-8"))
    }
}
