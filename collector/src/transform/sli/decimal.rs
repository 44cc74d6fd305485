//! Decimal text read to whole numbers, so that no float decides anything.

use memchr::{memchr, memchr2};

/// Reads a decimal of JSON or nginx (`0.134`, `12`, `1e-7`) times ten to the power of `shift`, cut to a whole number.
///
/// Cutting loses nothing where it is compared with a whole edge: `x < edge` exactly when `⌊x⌋ < edge`. Nothing for
/// text that is negative, no decimal, or beyond 64 bits.
pub(super) fn scaled(text: &[u8], shift: i64) -> Option<u64> {
    let (mantissa, exponent) = match memchr2(b'e', b'E', text) {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (whole, fraction) = match memchr(b'.', mantissa) {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &b""[..]),
    };
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let places = i64::try_from(whole.len()).ok()? + exponent + shift;
    let mut digits = whole.iter().chain(fraction);
    (0..places).try_fold(0_u64, |value, _| {
        let digit = digits.next().map_or(0, |digit| u64::from(digit - b'0'));
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Whether `text` holds nothing but digits; true for no text at all.
pub(super) fn is_digits(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

/// At most four digits: a longer exponent says nothing that 64 bits could hold, and would only cost time.
fn exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    if digits.is_empty() || digits.len() > 4 || !is_digits(digits) {
        return None;
    }
    Some(sign * digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::scaled;

    #[track_caller]
    fn check(text: &str, shift: i64, want: Option<u64>) {
        assert_eq!(scaled(text.as_bytes(), shift), want, "{text} shifted by {shift}");
    }

    #[test]
    fn durations_are_read_exactly_and_cut_below_a_microsecond() {
        check("0.134", 6, Some(134_000));
        check("0.000", 6, Some(0));
        check("60.001", 6, Some(60_001_000));
        check("35", 3, Some(35_000));
        check("0.4999999", 3, Some(499));
        check("499.99999999999999999999", 3, Some(499_999));
        check("1500", -3, Some(1));
        check("999", -3, Some(0));
        check("1e-7", 3, Some(0));
        check("1.5E+2", 3, Some(150_000));
        check("25e1", 0, Some(250));
        check("18446744073709551615", 0, Some(u64::MAX));
    }

    #[test]
    fn what_is_no_duration_is_not_read() {
        for text in ["", "-", "-1", "-0.5", ".5", "1.2.3", "1e", "1e999", "0x1", "NaN", "1 ", "1e99999", "e1"]
        {
            check(text, 6, None);
        }
        check("18446744073709551616", 0, None);
    }

    proptest! {
        #[test]
        fn any_count_of_microseconds_survives_the_way_through_text(us in 0..u64::MAX / 10) {
            let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
            prop_assert_eq!(scaled(text.as_bytes(), 6), Some(us));
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..40), shift in -9..9_i64) {
            scaled(&text, shift);
        }
    }
}
