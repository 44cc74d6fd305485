//! Exact fractions: every figure that decides something is one, so that 999,000 good of 1,000,000 leaves exactly 0.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Div, Mul, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A fraction in lowest terms with a positive denominator.
///
/// Bounds: one quotient of two `u64` counts, times or over a target of at most 6 decimals in percent, stays under
/// 2^95 above and below the line, so every formula of this crate fits whatever the counts are. Comparison never overflows;
/// the operators panic beyond `i128`, which takes a sum of several such quotients with unlike denominators.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ratio {
    num: i128,
    den: i128,
}

/// Why a text is not a decimal number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatioError {
    /// Something other than digits, one point and a leading minus.
    #[error("cannot read {0:?} as a number: write digits with at most one point, like 99.9")]
    Syntax(String),
    /// More digits than can be kept exactly.
    #[error("cannot keep {0:?} exactly: write at most {MAX_DIGITS} digits")]
    TooLong(String),
}

/// Digits that a decimal may have, before and after the point together.
const MAX_DIGITS: usize = 24;

impl Ratio {
    /// 0.
    pub const ZERO: Self = Self { num: 0, den: 1 };
    /// 1.
    pub const ONE: Self = Self { num: 1, den: 1 };

    /// `num / den` in lowest terms. Panics when `den` is 0.
    pub fn new(num: i128, den: i128) -> Self {
        assert!(den != 0, "a ratio needs a denominator");
        let common = gcd(num.unsigned_abs(), den.unsigned_abs()) as i128 * den.signum();
        Self { num: num / common, den: den / common }
    }

    /// `part / whole` of two counts, or nothing of nothing.
    pub fn of_counts(part: u64, whole: u64) -> Option<Self> {
        (whole > 0).then(|| Self::new(part.into(), whole.into()))
    }

    /// Reads decimal text, exactly: `"99.9"`, `"95"`, `"-0.25"`; at most 24 digits.
    pub fn parse_decimal(text: &str) -> Result<Self, RatioError> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(RatioError::Syntax(text.to_owned()));
        }
        if whole.len() + fraction.len() > MAX_DIGITS {
            return Err(RatioError::TooLong(text.to_owned()));
        }
        let magnitude =
            whole.bytes().chain(fraction.bytes()).fold(0, |n, byte| n * 10 + i128::from(byte - b'0'));
        let num = if unsigned.len() < text.len() { -magnitude } else { magnitude };
        Ok(Self::new(num, 10_i128.pow(fraction.len() as u32)))
    }

    /// The part above the line; carries the sign.
    pub fn num(self) -> i128 {
        self.num
    }

    /// The part below the line; positive.
    pub fn den(self) -> i128 {
        self.den
    }

    /// What it lacks to 1; as it is in lowest terms, so is this.
    pub(crate) fn complement(self) -> Self {
        Self { num: self.den - self.num, den: self.den }
    }

    /// Whether it is under 0.
    pub fn is_negative(self) -> bool {
        self.num < 0
    }

    /// Rounded down to a whole number.
    pub fn floor(self) -> i128 {
        self.num.div_euclid(self.den)
    }

    /// Rounded up to a whole number.
    pub fn ceil(self) -> i128 {
        -(-self.num).div_euclid(self.den)
    }

    /// Decimal text with at most `digits` decimals, rounded down (a budget never looks better than it is), without
    /// trailing zeros: `"1"`, `"0.999625"`, `"-0.25"`.
    pub fn to_decimal(self, digits: usize) -> String {
        let magnitude = self.num.unsigned_abs();
        let den = self.den.unsigned_abs();
        let (mut whole, mut rest) = (magnitude / den, magnitude % den);
        let mut decimals: Vec<u8> = Vec::with_capacity(digits);
        for _ in 0..digits {
            let (digit, left) = next_digit(rest, den);
            decimals.push(digit);
            rest = left;
        }
        if self.num < 0 && rest > 0 {
            whole += u128::from(carry(&mut decimals));
        }
        while decimals.last() == Some(&0) {
            decimals.pop();
        }
        let sign = if self.num < 0 { "-" } else { "" };
        let point = if decimals.is_empty() { "" } else { "." };
        let decimals: String = decimals.iter().map(|&digit| char::from(b'0' + digit)).collect();
        format!("{sign}{whole}{point}{decimals}")
    }

    /// Nearest float, for gauges and pictures; decides nothing.
    pub fn to_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }
}

/// One step of long division, by doubling and adding because ten times the rest may not fit.
fn next_digit(rest: u128, den: u128) -> (u8, u128) {
    if let Some(ten) = rest.checked_mul(10) {
        return ((ten / den) as u8, ten % den);
    }
    (0..10).fold((0, 0), |(digit, sum), _| {
        let sum = sum + rest;
        if sum >= den { (digit + 1, sum - den) } else { (digit, sum) }
    })
}

/// Adds one to the last decimal; true when it runs over into the whole part.
fn carry(decimals: &mut [u8]) -> bool {
    for digit in decimals.iter_mut().rev() {
        if *digit < 9 {
            *digit += 1;
            return false;
        }
        *digit = 0;
    }
    true
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Compares by continued fractions where the cross products don't fit: whole parts first, then the turned-over rests.
fn compare(left: Ratio, right: Ratio) -> Ordering {
    if let (Some(a), Some(b)) = (left.num.checked_mul(right.den), right.num.checked_mul(left.den)) {
        return a.cmp(&b);
    }
    left.floor().cmp(&right.floor()).then_with(|| {
        let (a, b) = (left.num.rem_euclid(left.den), right.num.rem_euclid(right.den));
        match (a, b) {
            (0, _) | (_, 0) => a.cmp(&b),
            _ => compare(Ratio { num: right.den, den: b }, Ratio { num: left.den, den: a }),
        }
    })
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(*self, *other)
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<u64> for Ratio {
    fn from(whole: u64) -> Self {
        Self { num: whole.into(), den: 1 }
    }
}

fn fits<T>(value: Option<T>) -> T {
    value.expect("ratio out of bounds: counts are at most 64 bits and targets at most 6 decimals")
}

impl Add for Ratio {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let common = gcd(self.den.unsigned_abs(), other.den.unsigned_abs()) as i128;
        let (left, right) =
            (self.num.checked_mul(other.den / common), other.num.checked_mul(self.den / common));
        let num = fits(fits(left).checked_add(fits(right)));
        Self::new(num, fits(self.den.checked_mul(other.den / common)))
    }
}

impl Sub for Ratio {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + Self { num: -other.num, den: other.den }
    }
}

impl Mul for Ratio {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let (left, right) = (Self::new(self.num, other.den), Self::new(other.num, self.den));
        Self { num: fits(left.num.checked_mul(right.num)), den: fits(left.den.checked_mul(right.den)) }
    }
}

impl Div for Ratio {
    type Output = Self;

    /// Panics when `other` is 0.
    #[expect(clippy::suspicious_arithmetic_impl, reason = "dividing is multiplying with the inverse")]
    fn div(self, other: Self) -> Self {
        self * Self::new(other.den, other.num)
    }
}

impl fmt::Display for Ratio {
    /// Exact: `"72/5"`, or `"6"` where it is whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 { write!(f, "{}", self.num) } else { write!(f, "{}/{}", self.num, self.den) }
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Ratio {
    /// Exact text, `"72/5"`: state comes back as it was. For people use [`Ratio::to_decimal`].
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let Some((num, den)) = text.split_once('/') else {
            return Self::parse_decimal(&text).map_err(serde::de::Error::custom);
        };
        match (num.parse(), den.parse()) {
            (Ok(num), Ok(den)) if den > 0 => Ok(Self::new(num, den)),
            _ => Err(serde::de::Error::custom(format!("cannot read {text:?} as a fraction"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn decimal(num: i128, den: i128, digits: usize, want: &str) {
        assert_eq!(Ratio::new(num, den).to_decimal(digits), want);
    }

    #[test]
    fn decimals_round_down_and_lose_trailing_zeros() {
        decimal(1, 1, 6, "1");
        decimal(-1, 4, 6, "-0.25");
        decimal(999_625, 1_000_000, 6, "0.999625");
        decimal(2, 3, 3, "0.666");
        decimal(-2, 3, 3, "-0.667");
        decimal(-999_999, 1_000_000, 2, "-1");
        decimal(-1, 1_000_000, 2, "-0.01");
        decimal(0, 7, 2, "0");
        decimal(7, 2, 0, "3");
        decimal(-7, 2, 0, "-4");
        decimal(i128::MAX - 1, i128::MAX, 4, "0.9999");
    }

    #[track_caller]
    fn parsed(text: &str, want: Option<Ratio>) {
        assert_eq!(Ratio::parse_decimal(text).ok(), want);
    }

    #[test]
    fn only_plain_decimals_are_read() {
        parsed("99.9", Some(Ratio::new(999, 10)));
        parsed("95", Some(Ratio::new(95, 1)));
        parsed("-0.25", Some(Ratio::new(-1, 4)));
        for text in
            ["", ".", "1.", ".5", "1e3", "+1", "--1", "1.2.3", " 1", "NaN", "9999999999999999999999999"]
        {
            parsed(text, None);
        }
    }

    #[test]
    fn comparison_is_exact_where_cross_products_do_not_fit() {
        let (big, bigger) = (Ratio::new(i128::MAX - 2, i128::MAX - 1), Ratio::new(i128::MAX - 1, i128::MAX));
        assert!(big < bigger && bigger < Ratio::ONE);
        assert!(Ratio::new(-i128::MAX, 3) < Ratio::new(-i128::MAX, 5));
    }

    proptest::proptest! {
        #[test]
        fn arithmetic_agrees_with_cross_multiplication(a in -9999_i128..9999, b in 1_i128..9999, c in -9999_i128..9999, d in 1_i128..9999) {
            let (x, y) = (Ratio::new(a, b), Ratio::new(c, d));
            assert_eq!(x + y, Ratio::new(a * d + c * b, b * d));
            assert_eq!(x - y, Ratio::new(a * d - c * b, b * d));
            assert_eq!(x * y, Ratio::new(a * c, b * d));
            assert_eq!(x.cmp(&y), (a * d).cmp(&(c * b)));
            if c != 0 {
                assert_eq!(x / y, Ratio::new(a * d, b * c));
            }
        }

        #[test]
        fn decimal_text_is_the_floor(num in -1_000_000_i128..1_000_000, den in 1_i128..1_000_000, digits in 0_usize..12) {
            let exact = Ratio::new(num, den);
            let shown = Ratio::parse_decimal(&exact.to_decimal(digits)).unwrap();
            assert!(shown <= exact && exact < shown + Ratio::new(1, 10_i128.pow(digits as u32)));
        }

        #[test]
        fn continued_fractions_order_like_cross_multiplication(a in -9999_i128..9999, b in 1_i128..9999, c in -9999_i128..9999, d in 1_i128..9999) {
            let scale = 1_i128 << 100;
            let (x, y) = (Ratio { num: a * scale, den: b * scale }, Ratio { num: c * scale, den: d * scale });
            assert_eq!(compare(x, y), (a * d).cmp(&(c * b)));
        }

        #[test]
        fn stored_text_comes_back_the_same(num in proptest::num::i128::ANY, den in 1_i128..i128::MAX) {
            proptest::prop_assume!(num > i128::MIN);
            let ratio = Ratio::new(num, den);
            let text = serde_json::to_string(&ratio).unwrap();
            assert_eq!(serde_json::from_str::<Ratio>(&text).unwrap(), ratio);
        }
    }
}
