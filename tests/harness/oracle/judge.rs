//! Says what became of each line of a run.

use std::collections::BTreeMap;
use std::fmt;

use super::{Found, Run};

/// What became of the lines that were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Lines that were written.
    pub written: u64,
    /// Found nowhere.
    pub lost: u64,
    /// Found again, each time that they were.
    pub duplicate: u64,
    /// Found, but not byte for byte, or never written by this run.
    pub corrupt: u64,
    /// Found behind a later line of their container in the same stream, or between another container's.
    pub out_of_order: u64,
    /// Found among the dead letters.
    pub dead_lettered: u64,
}

impl Verdict {
    /// Each line is there once, as it was written.
    pub fn is_perfect(&self) -> bool {
        *self == Self { written: self.written, ..Self::default() }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { written, lost, duplicate, corrupt, out_of_order, dead_lettered } = self;
        write!(to, "{lost} lost / {duplicate} duplicate / {corrupt} corrupt / {out_of_order} out of order")?;
        write!(to, " of {written} lines, {dead_lettered} dead-lettered")
    }
}

/// Judges what was found of the first `lines` lines of each container, in a sink and among its dead letters.
pub fn judge(run: &Run, lines: &[u64], mut found: Vec<Found>, dead: &[Found]) -> Verdict {
    let mut verdict = Verdict { written: lines.iter().sum(), ..Verdict::default() };
    let mut seen: Vec<Vec<u32>> =
        lines.iter().map(|&lines| vec![0; usize::try_from(lines).unwrap_or(0)]).collect();
    found.sort_by(|a, b| (&a.stream, a.offset, a.index).cmp(&(&b.stream, b.offset, b.index)));
    let mut last: BTreeMap<String, (u16, u64)> = BTreeMap::new();
    for one in found {
        let Some((container, sequence)) = place(run, lines, &one.line) else {
            verdict.corrupt += 1;
            continue;
        };
        count(&mut seen, container, sequence);
        // The same line again is a duplicate, and no question of order.
        let follows = |(before, earlier)| before == container && earlier <= sequence;
        let in_order = last.insert(one.stream, (container, sequence)).is_none_or(follows);
        verdict.out_of_order += u64::from(!in_order);
    }
    for one in dead {
        match place(run, lines, &one.line) {
            Some((container, sequence)) => {
                count(&mut seen, container, sequence);
                verdict.dead_lettered += 1;
            }
            None => verdict.corrupt += 1,
        }
    }
    let times = || seen.iter().flatten();
    verdict.lost = times().filter(|&&times| times == 0).count() as u64;
    verdict.duplicate = times().map(|&times| u64::from(times.saturating_sub(1))).sum();
    verdict
}

/// Which line it is; nothing if this run wrote no such line, byte for byte.
fn place(run: &Run, lines: &[u64], line: &[u8]) -> Option<(u16, u64)> {
    let (container, sequence) = run.place(line)?;
    let is_written = lines.get(usize::from(container)).is_some_and(|&lines| sequence < lines);
    (is_written && run.line(container, sequence) == line).then_some((container, sequence))
}

fn count(seen: &mut [Vec<u32>], container: u16, sequence: u64) {
    let times = usize::try_from(sequence).ok().and_then(|at| seen[usize::from(container)].get_mut(at));
    if let Some(times) = times {
        *times += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Run = Run { id: 0x00c0_ffee, start_ms: 1_800_000_000_000, step_ms: 7 };
    const LINES: [u64; 2] = [50, 40];

    /// Everything that was written, each container in a stream of its own.
    fn delivered() -> Vec<Found> {
        let of = |container: u16| {
            (0..LINES[usize::from(container)]).map(move |sequence| found(container, sequence))
        };
        of(0).chain(of(1)).collect()
    }

    fn found(container: u16, sequence: u64) -> Found {
        let line = RUN.line(container, sequence);
        Found { stream: format!("stream {container}"), offset: sequence * 1000, index: 0, line }
    }

    #[track_caller]
    fn check(plant: impl FnOnce(&mut Vec<Found>, &mut Vec<Found>), want: Verdict) {
        let (mut found, mut dead) = (delivered(), Vec::new());
        plant(&mut found, &mut dead);
        assert_eq!(judge(&RUN, &LINES, found, &dead), Verdict { written: 90, ..want });
    }

    #[test]
    fn each_line_once_is_perfect() {
        check(|_, _| (), Verdict::default());
        check(|found, _| found.reverse(), Verdict::default());
        let verdict = judge(&RUN, &LINES, delivered(), &[]);
        assert!(verdict.is_perfect());
        assert_eq!(
            verdict.to_string(),
            "0 lost / 0 duplicate / 0 corrupt / 0 out of order of 90 lines, 0 dead-lettered"
        );
    }

    #[test]
    fn a_line_that_is_missing_is_lost() {
        check(|found, _| drop(found.remove(17)), Verdict { lost: 1, ..Verdict::default() });
        check(|found, _| drop(found.pop()), Verdict { lost: 1, ..Verdict::default() });
        check(|found, _| found.clear(), Verdict { lost: 90, ..Verdict::default() });
    }

    #[test]
    fn a_line_that_comes_again_is_a_duplicate_wherever_it_is() {
        let again = Verdict { duplicate: 1, ..Verdict::default() };
        check(|found, _| found.push(found[3].clone()), again);
        // Read anew as another stream.
        let elsewhere = |line: &Found| Found { stream: "another".into(), ..line.clone() };
        check(|found, _| found.push(elsewhere(&found[3])), again);
        check(|found, dead| dead.push(found[3].clone()), Verdict { dead_lettered: 1, ..again });
        check(|found, _| found.extend(delivered()), Verdict { duplicate: 90, ..Verdict::default() });
    }

    #[test]
    fn a_line_that_is_not_as_it_was_is_corrupt_and_lost() {
        let other = Verdict { lost: 1, corrupt: 1, ..Verdict::default() };
        check(|found, _| found[9].line.truncate(20), other);
        check(|found, _| found[60].line.push(b' '), other);
        check(
            |found, _| {
                let last = found[9].line.len() - 1;
                found[9].line[last] ^= 1;
            },
            other,
        );
        // It says that it is another one.
        let pretender = String::from_utf8(RUN.line(0, 10)).unwrap().replace(".0.10;", ".0.9;");
        check(|found, _| found[9].line = pretender.into_bytes(), other);
    }

    #[test]
    fn what_was_never_written_is_corrupt() {
        let strange = Verdict { corrupt: 1, ..Verdict::default() };
        check(|found, _| found.push(Found { line: b"hello".to_vec(), ..found[0].clone() }), strange);
        let another = Run { id: 7, ..RUN };
        check(|found, _| found.push(Found { line: another.line(0, 3), ..found[0].clone() }), strange);
        // Behind the last line, and of a container that is not there.
        check(|found, _| found.push(super::tests::found(0, 50)), strange);
        check(|found, _| found.push(super::tests::found(2, 0)), strange);
    }

    #[test]
    fn lines_that_changed_places_are_out_of_order() {
        let swap = |found: &mut Vec<Found>, a: usize, b: usize| {
            let line = std::mem::take(&mut found[a].line);
            found[a].line = std::mem::replace(&mut found[b].line, line);
        };
        check(|found, _| swap(found, 20, 21), Verdict { out_of_order: 1, ..Verdict::default() });
        // In the place of another container's, on both sides: each way in and out.
        check(|found, _| swap(found, 20, 70), Verdict { out_of_order: 4, ..Verdict::default() });
    }

    #[test]
    fn a_dead_letter_is_not_lost() {
        check(|found, dead| dead.push(found.remove(5)), Verdict { dead_lettered: 1, ..Verdict::default() });
    }
}
