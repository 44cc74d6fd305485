//! Reads the bytes of an hour's cells, whoever wrote them.

use std::collections::BTreeMap;

use super::encode::{ALL, MAGIC, VERSION};
use super::{Cell, CellHour, CellKey, CellsError, HOUR, HourBlock, StreamShare, buckets};
use crate::counts::{Counts, MinuteId, Origin, ServiceRef, Sli};
use crate::leb128::{Broken, Input};
use crate::sketch::Sketch;

/// How many times longer than the bytes all names together may be: they share beginnings, and a stream gives to many series.
/// More would take hundreds of series of one stream with a name of kilobytes.
const NAMES: usize = 256;

struct Reader<'a> {
    input: Input<'a>,
    /// Bytes that names may still take.
    names_left: usize,
}

/// A series on its way from columns to cells.
struct Columns {
    key: CellKey,
    /// Bitmap of the minutes that hold something.
    minutes: u64,
    cells: Vec<Cell>,
    sketch: Vec<(u16, u64)>,
    /// Places in the table of names, and what each of them gave.
    shares: Vec<(usize, StreamShare)>,
}

impl From<Broken> for CellsError {
    fn from(Broken { at, what }: Broken) -> Self {
        Self { at, what }
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<HourBlock, CellsError> {
    let mut input = Input::new(bytes);
    if input.take(MAGIC.len())? != MAGIC || input.byte()? != VERSION {
        return Err(CellsError { at: 0, what: "it does not begin like cells of this version" });
    }
    let mut reader = Reader { input, names_left: bytes.len().saturating_mul(NAMES) };
    let hour = reader.input.signed()?;
    let start = hour.checked_mul(HOUR).filter(|start| start.checked_add(HOUR).is_some());
    let start = start.ok_or(reader.input.broken("an hour beyond all minutes"))?;
    let names = reader.names()?;
    let mut series = reader.keys()?;
    reader.minutes(&mut series)?;
    reader.cells(&mut series)?;
    reader.sketches(&mut series)?;
    reader.shares(&mut series, names.len(), start)?;
    if reader.input.left() > 0 {
        return Err(reader.input.broken("bytes follow its end").into());
    }
    let hours = series.into_iter().map(|columns| reader.hour(columns, &names, start));
    Ok(HourBlock { hour, series: hours.collect::<Result<_, _>>()? })
}

impl Reader<'_> {
    fn names(&mut self) -> Result<Vec<String>, Broken> {
        let count = self.input.number()?;
        let mut names: Vec<String> = Vec::new();
        for _ in 0..count {
            let name = self.name(names.last().map_or("", String::as_str))?;
            if names.last().is_some_and(|last| *last >= name) {
                return Err(self.input.broken("the streams are out of order"));
            }
            names.push(name);
        }
        Ok(names)
    }

    fn keys(&mut self) -> Result<Vec<Columns>, Broken> {
        let count = self.input.number()?;
        let mut series: Vec<Columns> = Vec::new();
        let mut before = [String::new(), String::new()];
        for _ in 0..count {
            let key = self.key(&mut before)?;
            if series.last().is_some_and(|last| last.key >= key) {
                return Err(self.input.broken("the keys are out of order"));
            }
            let (cells, sketch, shares) = (Vec::new(), Vec::new(), Vec::new());
            series.push(Columns { key, minutes: 0, cells, sketch, shares });
        }
        Ok(series)
    }

    fn key(&mut self, before: &mut [String; 2]) -> Result<CellKey, Broken> {
        let flags = self.input.byte()?;
        let origin = if flags & 4 == 0 { Origin::Ingress } else { Origin::Application };
        let sli = if flags & 8 == 0 { Sli::Availability } else { Sli::Latency };
        let names = match flags & !12 {
            0 => 2,
            1 => 1,
            2 => 0,
            _ => return Err(self.input.broken("an unknown kind of series")),
        };
        for held in &mut before[..names] {
            *held = self.name(held)?;
        }
        let [first, second] = before.clone();
        let service = match names {
            2 => ServiceRef::Named { namespace: first, name: second },
            1 => ServiceRef::Upstream(first),
            _ => ServiceRef::Unattributed,
        };
        let version = u32::try_from(self.input.number()?);
        let version = version.map_err(|_| self.input.broken("a version beyond 32 bits"))?;
        let count = self.input.number()?;
        let mut edges_us = Vec::new();
        for _ in 0..count {
            edges_us.push(self.input.number()?);
        }
        Ok(CellKey { service, origin, sli, version, edges_us })
    }

    /// Which minutes there are, checked against the bytes that their columns need before there is any cell.
    fn minutes(&mut self, series: &mut [Columns]) -> Result<(), Broken> {
        let mut needed = 0_usize;
        for columns in series.iter_mut() {
            columns.minutes = ALL ^ self.bitmap()?;
            let cells = columns.minutes.count_ones() as usize;
            needed = needed.saturating_add(cells * (3 + buckets(&columns.key.edges_us)));
        }
        if needed > self.input.left() {
            return Err(self.input.broken("it ends before its cells do"));
        }
        for columns in series {
            let ladder = vec![0; buckets(&columns.key.edges_us)];
            let cell = Cell { ladder, ..Cell::default() };
            columns.cells = vec![cell; columns.minutes.count_ones() as usize];
        }
        Ok(())
    }

    fn cells(&mut self, series: &mut [Columns]) -> Result<(), Broken> {
        let columns: [fn(&mut Counts) -> &mut u64; 3] =
            [|c| &mut c.total, |c| &mut c.bad, |c| &mut c.excluded];
        for column in columns {
            for cell in series.iter_mut().flat_map(|columns| &mut columns.cells) {
                *column(&mut cell.counts) = self.input.number()?;
            }
        }
        // Only those that have the bucket are looked at: a single long ladder takes no time from the others.
        let mut with_ladder: Vec<&mut Columns> =
            series.iter_mut().filter(|columns| !columns.cells.is_empty()).collect();
        let mut bucket = 0;
        while !with_ladder.is_empty() {
            with_ladder.retain(|columns| bucket < buckets(&columns.key.edges_us));
            for cell in with_ladder.iter_mut().flat_map(|columns| &mut columns.cells) {
                cell.ladder[bucket] = self.input.number()?;
            }
            bucket += 1;
        }
        for columns in series {
            let partial = self.bitmap()?;
            if partial & !columns.minutes != 0 {
                return Err(self.input.broken("a minute is partial that holds nothing"));
            }
            let places = places(columns.minutes);
            columns.cells.iter_mut().zip(places).for_each(|(cell, at)| cell.partial = partial >> at & 1 == 1);
        }
        Ok(())
    }

    fn sketches(&mut self, series: &mut [Columns]) -> Result<(), Broken> {
        let counts = self.counts(series.len())?;
        for (columns, count) in series.iter_mut().zip(counts) {
            columns.sketch = self.steps(count, |bucket| Some((u16::try_from(bucket).ok()?, 0)))?;
        }
        for (_, count) in series.iter_mut().flat_map(|columns| &mut columns.sketch) {
            *count = self.input.number()?;
        }
        Ok(())
    }

    fn shares(&mut self, series: &mut [Columns], names: usize, start: i64) -> Result<(), Broken> {
        let counts = self.counts(series.len())?;
        for (columns, count) in series.iter_mut().zip(counts) {
            let place = |place| usize::try_from(place).ok().filter(|&place| place < names);
            columns.shares = self.steps(count, |at| Some((place(at)?, StreamShare::default())))?;
        }
        for (_, share) in series.iter_mut().flat_map(|columns| &mut columns.shares) {
            share.total = self.input.number()?;
        }
        for (_, share) in series.iter_mut().flat_map(|columns| &mut columns.shares) {
            share.newest = MinuteId(start.wrapping_add(self.input.signed()?));
        }
        Ok(())
    }

    fn hour(
        &mut self,
        columns: Columns,
        names: &[String],
        start: i64,
    ) -> Result<(CellKey, CellHour), Broken> {
        let Columns { key, minutes, cells, sketch, shares } = columns;
        let ids = places(minutes).map(|at| MinuteId(start + at));
        let mut streams = BTreeMap::new();
        for (place, share) in shares {
            self.spend(names[place].len())?;
            streams.insert(names[place].clone(), share);
        }
        let sketch = Sketch::of_ascending(sketch);
        Ok((key, CellHour { minutes: ids.zip(cells).collect(), sketch, streams }))
    }

    fn name(&mut self, before: &str) -> Result<String, Broken> {
        let name = self.input.name(before)?;
        self.spend(name.len())?;
        Ok(name)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Broken> {
        let left = self.names_left.checked_sub(bytes);
        self.names_left = left.ok_or(self.input.broken("its names take too much room"))?;
        Ok(())
    }

    /// One number for each series: how many of something it has.
    fn counts(&mut self, series: usize) -> Result<Vec<u64>, Broken> {
        (0..series).map(|_| self.input.number()).collect()
    }

    /// So many numbers that ascend strictly, each made into something; refused where that is not possible.
    fn steps<T>(&mut self, count: u64, make: impl Fn(u64) -> Option<T>) -> Result<Vec<T>, Broken> {
        let (mut steps, mut next) = (Vec::new(), Some(0_u64));
        for _ in 0..count {
            let step = self.input.number()?;
            let number = next.and_then(|next| next.checked_add(step));
            let made = number.and_then(&make).ok_or(self.input.broken("a number beyond what it counts"))?;
            next = number.and_then(|number| number.checked_add(1));
            steps.push(made);
        }
        Ok(steps)
    }

    fn bitmap(&mut self) -> Result<u64, Broken> {
        let bits = self.input.number()?;
        if bits > ALL {
            return Err(self.input.broken("an hour has more than 60 minutes"));
        }
        Ok(bits)
    }
}

/// Places of the bits that are set.
fn places(bitmap: u64) -> impl Iterator<Item = i64> {
    (0..HOUR).filter(move |at| bitmap >> at & 1 == 1)
}
