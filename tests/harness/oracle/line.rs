//! A line as a function of run, container and sequence: any line can be told from what it says, and made again.

use jiff::Timestamp;

use crate::seeded::Random;

/// What all lines of a run have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Tells this run's lines from those of any other.
    pub id: u32,
    /// When the first line of each container was written, in milliseconds since 1970.
    pub start_ms: i64,
    /// Between two lines of a container.
    pub step_ms: i64,
}

/// Requests that were logged, by the rules of the default SLOs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// All of them.
    pub total: u64,
    /// Answered by 5xx.
    pub failed: u64,
    /// Answered otherwise, in 500 ms or more.
    pub slow: u64,
}

/// One request in so many fails, and of the others is slow.
const FAILS: u64 = 10;

impl Run {
    /// A run with an id of chance.
    pub fn new(random: &mut Random, start_ms: i64, step_ms: i64) -> Self {
        Self { id: u32::try_from(random.below(1 << 32)).unwrap_or(0), start_ms, step_ms }
    }

    /// Whether a container is an ingress controller, which logs requests for `shop/web`; the others log messages.
    pub fn is_ingress(container: u16) -> bool {
        container.is_multiple_of(4)
    }

    /// When a line was written.
    pub fn time(&self, sequence: u64) -> Timestamp {
        let after = i64::try_from(sequence).unwrap_or(i64::MAX).saturating_mul(self.step_ms);
        Timestamp::from_millisecond(self.start_ms.saturating_add(after)).unwrap_or(Timestamp::MAX)
    }

    /// The line, without its end.
    pub fn line(&self, container: u16, sequence: u64) -> Vec<u8> {
        match Self::is_ingress(container) {
            true => self.request(container, sequence).0.into_bytes(),
            false => self.message(container, sequence),
        }
    }

    /// Which line of this run says that it is this one, whatever it is else.
    pub fn place(&self, line: &[u8]) -> Option<(u16, u64)> {
        let mark = format!("oracle:{:08x}.", self.id);
        let at = line.windows(mark.len()).position(|window| window == mark.as_bytes())?;
        let rest = &line[at + mark.len()..];
        let rest = std::str::from_utf8(&rest[..rest.iter().position(|&byte| byte == b';')?]).ok()?;
        let (container, sequence) = rest.split_once('.')?;
        Some((container.parse().ok()?, sequence.parse().ok()?))
    }

    /// What the first `lines` lines of a container count for.
    pub fn requests(&self, container: u16, lines: u64) -> Requests {
        let mut requests = Requests::default();
        for sequence in (0..lines).filter(|_| Self::is_ingress(container)) {
            let (_, failed, slow) = self.request(container, sequence);
            requests.total += 1;
            requests.failed += u64::from(failed);
            requests.slow += u64::from(slow);
        }
        requests
    }

    /// The same of all containers, of which each has written so many lines.
    pub fn all_requests(&self, lines: &[u64]) -> Requests {
        let mut all = Requests::default();
        for (container, &lines) in (0..).zip(lines) {
            let requests = self.requests(container, lines);
            all.total += requests.total;
            all.failed += requests.failed;
            all.slow += requests.slow;
        }
        all
    }

    fn mark(&self, container: u16, sequence: u64) -> String {
        format!("oracle:{:08x}.{container}.{sequence};", self.id)
    }

    fn random(&self, container: u16, sequence: u64) -> Random {
        Random::of((u64::from(self.id) << 32) ^ (u64::from(container) << 48) ^ sequence)
    }

    /// An access line, whether it tells of a failure, and whether of a slow answer.
    fn request(&self, container: u16, sequence: u64) -> (String, bool, bool) {
        let mut random = self.random(container, sequence);
        let failed = random.below(FAILS) == 0;
        let status = if failed { 500 + random.below(5) } else { [200, 201, 304, 404][pick(&mut random, 4)] };
        let millis = if random.below(FAILS) == 0 { 500 + random.below(2000) } else { random.below(500) };
        let (seconds, millis_of) = (millis / 1000, millis % 1000);
        let bytes = random.below(100_000);
        let line = format!(
            "192.0.2.{} - - [{}] \"GET /orders?id={} HTTP/1.1\" {status} {bytes} \"-\" \"Mozilla/5.0\" {} \
             {seconds}.{millis_of:03} [shop-web-80] [] 10.0.0.1:80 {bytes} {seconds}.{millis_of:03} {status} {:032x}",
            random.below(256),
            self.time(sequence).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            self.mark(container, sequence),
            random.below(2000),
            random.below(u64::MAX),
        );
        (line, failed, !failed && millis >= 500)
    }

    /// A message of the kinds that break naive pipelines.
    fn message(&self, container: u16, sequence: u64) -> Vec<u8> {
        let (mut random, mark) = (self.random(container, sequence), self.mark(container, sequence));
        let length = match random.below(128) {
            0 => 20_000 + random.below(30_000),
            1..=8 => random.below(3000),
            _ => random.below(200),
        };
        let text = words(&mut random, length);
        match random.below(10) {
            0 => mark.into_bytes(),
            1 => format!("{{\"level\":\"info\",\"id\":\"{mark}\",\"text\":\"{text}\",\"n\":1e999}}")
                .into_bytes(),
            2 => format!("{{\"index\":{{\"_index\":\".security\",\"_id\":\"{mark}\"}}}}\\n{{{text}")
                .into_bytes(),
            3 => format!("{mark} \u{1b}[31m{text}\u{1b}[0m\t\\\"\\u0000\u{2028}\u{85}  ").into_bytes(),
            4 => [mark.as_bytes(), b" \xff\xfe\x80 ", text.as_bytes(), b"\xc3"].concat(),
            5 => [mark.as_bytes(), b"\0\x01\x7f", text.as_bytes()].concat(),
            6 => format!("  {text} {mark}").into_bytes(),
            _ => format!("{mark} {text}").into_bytes(),
        }
    }
}

fn pick(random: &mut Random, end: u64) -> usize {
    usize::try_from(random.below(end)).unwrap_or(0)
}

/// About `length` bytes of words.
fn words(random: &mut Random, length: u64) -> String {
    const WORDS: [&str; 12] = [
        "order",
        "größer",
        "支払い",
        "cart",
        "\\\\",
        "🛒",
        "GET /",
        "timeout",
        "=",
        "ошибка",
        "null",
        "payload",
    ];
    let mut text = String::new();
    while text.len() < usize::try_from(length).unwrap_or(0) {
        text.push_str(WORDS[pick(random, WORDS.len() as u64)]);
        text.push(' ');
    }
    text
}
