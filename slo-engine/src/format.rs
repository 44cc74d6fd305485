//! Figures and instants as people read them; a ratio is rounded down.

/// `2026-11-23T17:30:00Z` as `23 Nov 17:30`, in UTC.
pub(crate) fn clock(rfc3339: &str) -> String {
    rfc3339
        .parse::<jiff::Timestamp>()
        .map_or_else(|_| rfc3339.to_owned(), |at| at.strftime("%-d %b %H:%M").to_string())
}

/// An instant beside an earlier one: without the day where it is the same.
pub(crate) fn clock_after(earlier: &str, later: &str) -> String {
    let (earlier, later) = (clock(earlier), clock(later));
    match (earlier.rsplit_once(' '), later.rsplit_once(' ')) {
        (Some((day, _)), Some((same, time))) if day == same => time.to_owned(),
        _ => later,
    }
}

/// `0.625` as `62.5 %`, rounded down: never better than it is, below 0 either. At most so many digits behind the point,
/// of the ratio's first six decimals.
pub(crate) fn percent(ratio: Option<&str>, digits: usize) -> String {
    let Some(ratio) = ratio else { return "–".to_owned() };
    let (negative, plain) = ratio.strip_prefix('-').map_or((false, ratio), |plain| (true, plain));
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let millionths = format!("{whole}{:0<6.6}", fraction).parse::<u64>().unwrap_or_default();
    // A ratio of six decimals is a percentage of four.
    let unit = 10_u64.pow(4 - digits.min(4) as u32);
    let shown = if negative { millionths.div_ceil(unit) } else { millionths / unit } * unit;
    let decimals = format!("{:04}", shown % 10_000);
    let decimals = decimals[..digits.min(4)].trim_end_matches('0');
    let point = if decimals.is_empty() { "" } else { "." };
    format!("{}{}{point}{decimals} %", if negative { "−" } else { "" }, shown / 10_000)
}

/// A decimal with at most so many digits behind the point; digits are cut.
pub(crate) fn shorten(decimal: &str, digits: usize) -> String {
    match decimal.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{}", &fraction[..fraction.len().min(digits)]),
        None => decimal.to_owned(),
    }
}

/// `1234567` as `1 234 567`, with narrow spaces.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A text as a part of a path or a value of a query.
pub(crate) fn in_url(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_rounded_down_and_never_looks_better_than_it_is() {
        for (ratio, digits, want) in [
            ("1", 1, "100 %"),
            ("0.625", 1, "62.5 %"),
            ("0.999999", 2, "99.99 %"),
            ("-0.25", 1, "−25 %"),
            ("0.05", 0, "5 %"),
            ("0", 2, "0 %"),
            ("-12.3456", 1, "−1234.6 %"),
            ("-44.464664", 0, "−4447 %"),
            ("-1.160319", 2, "−116.04 %"),
            ("0.999421", 4, "99.9421 %"),
            ("0.42", 4, "42 %"),
        ] {
            assert_eq!(percent(Some(ratio), digits), want, "{ratio}");
        }
        assert_eq!(percent(None, 1), "–");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn a_text_in_a_url_is_read_as_it_was() {
        assert_eq!(in_url("shop-1.web_~"), "shop-1.web_~");
        assert_eq!(in_url("a/b c%2F&é"), "a%2Fb%20c%252F%26%C3%A9");
    }
}
